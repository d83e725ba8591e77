// Package plugins joins bytecode and connections: it loads a plugin compiled
// from C, checks what it asks for against what it does, and attaches it to a
// core.Conn. It is the only package that knows both the machine (package vm)
// and the engine (package core).
//
// A plugin is one ELF file. The names of its sections say where its functions,
// the pluglets, attach; a section of metadata, the manifest, says what the
// plugin is and which powers it asks for. Load reads, verifies and compiles it
// once; Attach gives a connection its own copy of the plugin's memory.
//
// # To find X, open Y
//
//	what a pluglet may see of the engine              abi.go
//	  the contexts of operations                      abi_context.go
//	  types and functions as the machine knows them   abi_env.go
//	host functions                                    host.go
//	  one file per concern                            host_*.go
//	the metadata of a plugin                          manifest.go
//	reading, verifying and compiling a plugin         load.go
//	the manifest against what the code uses           check.go
//	a plugin on a connection                          attach.go, instance.go
//	one call of a pluglet                             pluglet.go
//	memory that a plugin allocates                    heap.go
//	messages to the application                       queue.go
//	operations of a plugin that Go code calls         extern.go
//	options given by the user                         options.go
//	what is compiled in                               standard/
//	the headers for authors                           sdk/
//
// # Rights
//
// A pluglet at pre or post observes: it reads fields, changes its own memory,
// writes to the log and to the message queue. One that replaces an operation
// may do more, if the manifest declares it: see Effect in package vm and
// docs/security.md.
//
// # Faults
//
// A pluglet fails by returning other than 0, by a memory access outside its
// arena, by running out of fuel, by an illegal argument or value. Package
// protoops has the rule: its writes are undone, the native body answers, the
// plugin is detached; one that owns a frame type or a transport parameter takes
// the connection with it. Error says what happened, down to the source line.
package plugins
