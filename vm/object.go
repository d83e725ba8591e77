package vm

import (
	"fmt"
	"strings"
)

// NullGuard is how many bytes at the start of every arena are never valid, so
// that a null pointer plus a small offset faults. Read-only data follows.
const NullGuard = 4096

// dataAlign is the alignment of Object.DataAddr: read-only and writable memory
// never share a page.
const dataAlign = 4096

// An Object is a program file whose relocations have been applied: code,
// initial contents of its globals with their arena addresses, and the names
// that diagnostics need. It has not been verified. It is immutable once
// loaded.
type Object struct {
	Name string

	// Code holds all functions one after the other. Calls have Src CallLocal
	// (Imm: slots from the next instruction) or CallHelper (Imm: index into
	// Imports). 64-bit immediate loads have Src 0 and hold the final value:
	// a constant or an arena address. CO-RE relocations are applied.
	Code      []Instruction
	Functions []Function // ascending Start, together all of Code
	Programs  []Program  // entry points in file order
	Imports   []Import   // host functions that the code calls, in order of first use

	// Initial contents of the arena [RODataAddr, End): read-only data, then from
	// DataAddr, a multiple of 4096, initialised data, then from BSSAddr BSSSize
	// zero bytes. Pointers inside hold arena addresses.
	ROData, Data []byte
	BSSSize      uint32
	RODataAddr   uint32
	DataAddr     uint32
	BSSAddr      uint32
	End          uint32

	Lines   []Line            // ascending Slot; empty without line info
	Meta    map[string][]byte // contents of sections "license" and ".pquic.*"
	Globals map[string]Global // named variables of the data sections
	Fields  []FieldUse        // ascending Slot: what CO-RE relocations named

	byAddr []string // names of Globals by ascending address
}

// A Function is a range of Object.Code.
type Function struct {
	Name    string
	Section string // ELF section that holds it
	Start   int    // first slot
	End     int    // slot after the last
	// Prototype is the declaration in C, if the object has type information.
	Prototype string
}

// A Program is an entry point: a global function outside .text, named by its
// section.
type Program struct {
	Section  string
	Name     string
	Function int // index into Object.Functions
}

// An Import is a host function bound by name.
type Import struct {
	Name string
	// Weak: the program copes with the absence of the function, whose address
	// reads as 0 then. A call to it that may be reached nevertheless is refused.
	Weak bool
}

// A Line says which source line the code from Slot on, up to the next Line's,
// comes from.
type Line struct {
	Slot   int
	File   string
	Line   int
	Column int
	Text   string // the line itself, without indentation; may be empty
}

// A Global is a variable with static storage.
type Global struct {
	Addr    uint32 // in the arena
	Size    uint32 // bytes
	Section string
}

// A FieldUse names what the instruction at Slot accesses according to its
// CO-RE relocation.
type FieldUse struct {
	Slot  int
	Kind  string // struct name: "pq_path"
	Field string // member: "rtt", or "" for a relocation of the whole type
	Form  string // "byte_offset", "field_exists" …, as the relocation calls it
}

// A LoadError says what in a file cannot be loaded, and where.
type LoadError struct {
	Object   string // name given to Load
	Section  string // empty: the file as a whole
	Function string // empty if the error concerns no function
	Slot     int    // within the function; -1 if the error concerns no instruction
	File     string // C source of the instruction, if the object has line info
	Line     int
	Symbol   string // symbol, field or type concerned; may be empty
	Msg      string
}

func (e *LoadError) Error() string {
	var b strings.Builder
	b.WriteString("vm: ")
	if e.Object != "" {
		fmt.Fprintf(&b, "%s: ", e.Object)
	}
	if e.Section != "" {
		fmt.Fprintf(&b, "section %q: ", e.Section)
	}
	if e.Function != "" {
		fmt.Fprintf(&b, "function %q: ", e.Function)
	}
	if e.Slot >= 0 {
		fmt.Fprintf(&b, "instruction %d: ", e.Slot)
	}
	if e.File != "" {
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Raw returns an object of one program, section "raw", function "main", made
// of code alone: for tests and instruction vectors.
func Raw(name string, code []Instruction) *Object {
	return &Object{
		Name:       name,
		Code:       code,
		Functions:  []Function{{Name: "main", Section: "raw", Start: 0, End: len(code)}},
		Programs:   []Program{{Section: "raw", Name: "main", Function: 0}},
		RODataAddr: NullGuard,
		DataAddr:   NullGuard,
		BSSAddr:    NullGuard,
		End:        NullGuard,
	}
}

// FunctionAt returns the index of the function that holds slot, or -1.
func (o *Object) FunctionAt(slot int) int {
	lo, hi := 0, len(o.Functions)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch f := &o.Functions[mid]; {
		case slot < f.Start:
			hi = mid
		case slot >= f.End:
			lo = mid + 1
		default:
			return mid
		}
	}
	return -1
}
