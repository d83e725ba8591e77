// Command doq-quicgo is the tests' DNS server over QUIC, on quic-go.
package main

import (
	"github.com/pquic-go/pquic/bench/stack/quicgo"
	"github.com/pquic-go/pquic/interop/doq"
)

func main() { doq.Main(quicgo.Stack{}) }
