// Package sdk holds the C headers that plugins include: pquic.h, written by
// hand, and pquic_gen.h, generated from the engine's own description of its
// operations, objects and host functions (make generate).
package sdk

import "embed"

// Headers holds the headers and the compiler flags for language servers.
//
//go:embed *.h compile_flags.txt
var Headers embed.FS

// Flags are the flags that make clang produce a plugin from C, besides -I with
// the folder of the headers. The compiler whose output is committed is clang 19.
var Flags = []string{"-target", "bpf", "-mcpu=v3", "-O2", "-g", "-std=gnu11", "-ffreestanding", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-Wno-unused-parameter"}
