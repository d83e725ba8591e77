// Package tlp holds the plugin tlp as bytecode, compiled from src/tlp.c.
package tlp

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed tlp.o
var Object []byte
