// Package nopacing holds the plugin no_pacing as bytecode, compiled from src/no_pacing.c.
package nopacing

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed no_pacing.o
var Object []byte
