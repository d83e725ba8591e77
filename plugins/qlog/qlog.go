// Package qlog holds the plugin qlog as bytecode, compiled from src/qlog.c.
package qlog

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed qlog.o
var Object []byte
