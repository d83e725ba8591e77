// Command doq-pquic is the tests' DNS server over QUIC, on this repository's engine.
package main

import (
	"github.com/pquic-go/pquic/bench/stack/pquic"
	"github.com/pquic-go/pquic/interop/doq"
)

func main() { doq.Main(pquic.Stack{}) }
