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
//	verification, errors and limits              verify.go
//	  encodings, flow graph, loops               verify_structure.go, verify_cfg.go
//	  intervals and symbols of integers          verify_value.go, verify_alu.go
//	  states, joins, the stack frame             verify_state.go
//	  memory accesses                            verify_step.go
//	  calls, host functions, typed pointers      verify_call.go
//	  the iteration                              verify_types.go
//	  comparisons and what follows from them     verify_branch.go
//	  how often loops go round                   verify_loops.go, verify_tests.go
//	  bounds of programs                         verify_cost.go
//	verdicts: proved or metered                  report.go
//	lowered code and how it is made              ir.go, lower.go
//	modules, instances, engines                  module.go
//	what an arena holds, where it comes from     memory.go, arena_*.go
//	running programs, calling host functions     run.go, machine.go, state.go
//	the interpreter                              interp.go, interp_ops.go
//	faults                                       fault.go
//	where executable memory comes from           execmem_*.go
//	compiled code                                jit.go, jit_*.go, asm_*.go, entry_*.s
//	ubpf through cgo, to compare with            ubpf.go (tag ubpf)
//
// # Why bytecode cannot crash, hang or read the host
//
// It cannot execute anything else: only opcodes of RFC 9669 with their reserved
// fields zero are accepted, jumps lead to instructions of their own function,
// calls to first instructions, r10 is read-only, there are no indirect calls,
// and recursion and more than eight functions at once are refused, so return
// positions fit a fixed array outside of what programs can address.
//
// It cannot reach memory of the host: an address is a number counted from the
// start of the instance's own arena, and every load and store is compared with
// the arena's ends unless the verifier proved the place. The arena holds no Go
// pointer. What was proved is checked again at the end: one pass over the code
// sees that the states found are closed under every instruction and every jump,
// so nothing rests on how widening and narrowing found them.
//
// It cannot forge, keep or confuse typed pointers: a register that holds one
// holds a slot number below 64. The verifier knows its struct, its offset and
// whether it may be null at every instruction; it refuses arithmetic other than
// adding constants, stores other than spills to the stack, and places where it
// may be of two types. Spills lie in a private stack that no address of a
// program names. Accesses go to declared fields at constant offsets, and a
// write to the host's state is a call that checks the range. The views behind
// the slots are ordinary Go pointers, so what a handle names is not freed under
// it; after a function that may free, its use is refused all the same.
//
// It cannot hang: every basic block is paid for on entry, out of the fuel of
// the call and of the connection, and host functions cost by call and by byte.
// The proof of a bound is a promise about plugins, not what stops them.
//
// It cannot trick host functions: kinds and ranges of arguments are checked by
// the verifier or before the call, memory arguments against the arena, and
// results against what was declared.
//
// It cannot exhaust the loader: the numbers of instructions, of steps of
// analysis and of bytes of an arena are bounded.
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
