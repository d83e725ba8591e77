// Command peer-pquic is the benchmark's client and server on this repository's engine.
package main

import (
	"github.com/pquic-go/pquic/bench/perf"
	"github.com/pquic-go/pquic/bench/stack/pquic"
)

func main() { perf.Main(pquic.Stack{}) }
