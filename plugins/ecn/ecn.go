// Package ecn holds the plugin ecn as bytecode, compiled from src/ecn.c.
package ecn

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed ecn.o
var Object []byte
