// Command peer-quicgo is the benchmark's client and server on quic-go.
package main

import (
	"github.com/pquic-go/pquic/bench/perf"
	"github.com/pquic-go/pquic/bench/stack/quicgo"
)

func main() { perf.Main(quicgo.Stack{}) }
