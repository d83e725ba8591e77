// Package streamrr holds the plugin stream_rr as bytecode, compiled from src/stream_rr.c.
package streamrr

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed stream_rr.o
var Object []byte
