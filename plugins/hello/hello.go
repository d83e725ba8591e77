// Package hello holds the plugin hello as bytecode, compiled from src/hello.c.
package hello

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed hello.o
var Object []byte
