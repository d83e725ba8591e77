// Package ackdelay holds the plugin ack_delay as bytecode, compiled from src/ack_delay.c.
package ackdelay

import _ "embed"

// Object is the plugin's ELF file.
//
//go:embed ack_delay.o
var Object []byte
