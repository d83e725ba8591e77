//go:build !nocipherchoice

package main

import (
	"crypto/tls"
	_ "unsafe" // for go:linkname
)

// canChooseCipherSuite tells whether this program can offer one suite of TLS
// 1.3 alone. Building with the tag nocipherchoice leaves that out.
const canChooseCipherSuite = true

// Package crypto/tls lets nobody choose among the suites of TLS 1.3, but keeps
// its lists within reach of the linker.
//
//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

//go:linkname defaultCipherSuitesTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var defaultCipherSuitesTLS13NoAES []uint16

// offerOnlyChaCha20 makes all connections of the process offer this suite alone.
func offerOnlyChaCha20() {
	defaultCipherSuitesTLS13 = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
	defaultCipherSuitesTLS13NoAES = defaultCipherSuitesTLS13
}
