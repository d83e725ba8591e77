// Package westwood holds the plugin westwood as bytecode, compiled from src/westwood.c.
package westwood

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed westwood.o
var Object []byte
