// Package vm runs eBPF programs compiled by clang inside a Go process: safely,
// without cgo, and almost for free. It knows nothing of QUIC.
//
// An ELF object becomes an Object (Load), an Object becomes a verified and
// lowered Module (Compile), a Module is given memory of its own (an Instance)
// and an Instance runs programs. A Module is immutable and shared; an Instance
// belongs to one owner at a time.
//
// # To find X, open Y
//
//	instruction encoding, opcodes                isa.go
//	what an object consists of                   object.go
//	how an ELF file is read                      elf.go
//	  sections and their addresses               elf_sections.go
//	  relocations in code and in data            elf_reloc.go
//	BTF: types, function and line info           btf.go, btf_ext.go
//	fields and types resolved against the host   core_relo.go
//	  code that a missing field makes dead       core_reach.go
//	source lines                                 lines.go
//	what a program looks like as text            disasm.go
//	what the host offers to programs             env.go
//	what the verifier refuses                    verify.go, verify_*.go
//	  how loops are proved to end                verify_loops.go
//	what it says of a program                    report.go
//	the code that engines run                    ir.go, lower.go
//	where an arena has what                      memory.go, arena_*.go
//	how a program is started, host calls         run.go, machine.go
//	modules, instances, the choice of an engine  module.go
//	why a program was stopped                    fault.go
//	the engines: interpreter                     interp.go
//	  compiled code                              jit.go, jit_*.go, asm_*.go
//	  ubpf through cgo, to compare with          ubpf.go (tag ubpf)
//
// # Standards
//
// RFC 9669 (instruction set), the Linux documentation of BTF, .BTF.ext and
// CO-RE relocations (https://docs.kernel.org/bpf/btf.html,
// https://docs.kernel.org/bpf/llvm_reloc.html), the ELF specification.
//
// # Omissions
//
//   - The legacy packet access instructions (conformance group "packet").
//   - Calls through a register (callx), hence function pointers, jump tables
//     and other indirect jumps.
//   - Maps: a program's state lives in its globals and its heap.
//   - Big-endian objects.
//   - CO-RE relocations of bit-fields and of type identity; see core_relo.go.
package vm
