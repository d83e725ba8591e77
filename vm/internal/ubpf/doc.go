// Package ubpf is the way to iovisor's ubpf, a C library that interprets and
// compiles eBPF, for builds with the tag ubpf. Other builds see an empty
// package.
//
// The library has to be installed; CGO_CFLAGS and CGO_LDFLAGS say where if the
// compiler does not find <ubpf.h> and libubpf on its own.
//
// It is a package of its own because Go allows no assembly beside cgo.
package ubpf
