package vm

import "fmt"

// An Env is what a host offers to programs: the struct types they may look at, the functions they may call,
// and which context each kind of program gets. The package knows nothing of what these mean. An Env is
// read-only once it was given to Compile and may serve any number of modules.
type Env struct {
	Kinds []Kind
	Funcs []HostFunc

	// Context names what a program of the given ELF section receives and which effects it may have.
	// An error refuses the section; its text is shown to the author.
	Context func(section string) (ContextSpec, error)

	// StoreField performs a store to a field whose Access is AccessHost. kind indexes Kinds, field indexes
	// Kinds[kind].Fields, slot is the handle the program used and v the value, truncated to the field's size
	// (and sign-extended if the field is signed). It checks the range and journals; an error is a fault.
	StoreField func(m *Machine, kind int, slot uint8, field int, v uint64) error
}

// A Kind is a struct type of the host that programs may look at through a typed pointer. CO-RE relocates a
// program's own declaration of the same struct name against it.
type Kind struct {
	Name   string  // C name without "struct": "pq_path" for struct pq_path
	Size   uint32  // bytes of the host's struct that may be seen, at most MaxKindSize
	Stable bool    // handles survive host functions that may free
	Fields []Field // ascending Offset
}

// MaxKindSize bounds Kind.Size and every field's end.
const MaxKindSize = 1 << 15

// A FieldType says what lies in a field.
type FieldType uint8

// Field types.
const (
	ScalarField  FieldType = iota // an integer of 1, 2, 4 or 8 bytes
	HandleField                   // a typed pointer; a context's field only, 8 bytes
	AddressField                  // an arena address (or 0) that the host filled in
	BytesField                    // an array without addresses; loads of 1, 2, 4 or 8 bytes anywhere inside
)

// An Access says how a program may write a field.
type Access uint8

// Access rights.
const (
	ReadOnly     Access = iota // stores are refused when the program is loaded
	AccessDirect               // stored straight into the view: only for memory that the host staged for the program
	AccessHost                 // stored by Env.StoreField: checked and journaled
)

// A Field is a member of a Kind.
type Field struct {
	Name   string
	Offset uint32 // as programs see it after CO-RE, ascending, not overlapping
	Size   uint8  // 1, 2, 4 or 8 bytes
	Signed bool   // for AccessHost stores: sign-extend the value given to StoreField
	Type   FieldType
	Access Access
	Length uint32 // bytes of a BytesField

	// Of, Nullable and Slot describe a HandleField: reading it yields the handle Slot of kind Of, or, if
	// Nullable, 0 when the call did not set that view.
	Of       string
	Nullable bool
	Slot     uint8

	// View and ViewOffset say where the value lies. View 0: in the object itself at Offset. Otherwise
	// (contexts only) at ViewOffset in the view of that slot, which the call must then have set.
	View       uint8
	ViewOffset uint32
}

// An Effect is what calling a host function can change, in ascending order of harm.
type Effect uint8

// Effects.
const (
	Pure    Effect = iota // reads only
	OwnHeap               // changes the program's own memory
	Sink                  // hands data out: logs, messages, metrics
	Reserve               // books a place in a coming packet
	Mutate                // changes the host's state
)

// String names the effect as reports print it.
func (e Effect) String() string {
	switch e {
	case Pure:
		return "pure"
	case OwnHeap:
		return "own heap"
	case Sink:
		return "sink"
	case Reserve:
		return "reserve"
	case Mutate:
		return "mutate"
	}
	return fmt.Sprintf("Effect(%d)", uint8(e))
}

// An EffectSet is a set of effects.
type EffectSet uint8

// Effects makes a set.
func Effects(list ...Effect) EffectSet {
	var s EffectSet
	for _, e := range list {
		s |= 1 << e
	}
	return s
}

// Observer is the set that read-only anchors allow; AllEffects allows everything.
const (
	Observer   EffectSet = 1<<Pure | 1<<OwnHeap | 1<<Sink
	AllEffects EffectSet = Observer | 1<<Reserve | 1<<Mutate
)

// Has reports whether e is in the set.
func (s EffectSet) Has(e Effect) bool { return s>>e&1 != 0 }

// A ContextSpec is what the programs of one section receive.
type ContextSpec struct {
	// Kind of the typed pointer in r1; empty for programs that get integers only.
	Kind string
	// Slot is the view that r1 names; 0 means 1. Views up to FirstDynamicSlot-1 are the host's to assign.
	Slot uint8
	// Scalars is how many integer arguments follow the context (or start in r1 without a Kind), taken from Call.Args.
	Scalars uint8
	// Effects that programs of the section may have. A store to an AccessHost field has the effect Mutate.
	Effects EffectSet
	// ReadOnly refuses stores to AccessDirect fields too.
	ReadOnly bool
}

// FirstDynamicSlot is the first view slot that Machine.NewHandle gives out; NumSlots is how many there are.
const (
	FirstDynamicSlot = 16
	NumSlots         = 64
)

// A ParamType says what a host function's parameter is.
type ParamType uint8

// Parameter types. Memory parameters are checked against the arena before the function runs.
const (
	ScalarParam         ParamType = iota // an integer in [Min, Max] when Max is not 0
	HandleParam                          // a non-null handle of kind Of
	NullableHandleParam                  // a handle of kind Of, or 0
	MemReadParam                         // the address of bytes the function reads; the next parameter is their LenParam
	MemWriteParam                        // the address of bytes the function may write; the next parameter is their LenParam
	LenParam                             // length of the preceding memory parameter, at most MaxLen
	CStringParam                         // a NUL-terminated string in the arena of at most MaxLen bytes with its NUL
	MemReadFixedParam                    // the address of Size bytes the function reads
	MemWriteFixedParam                   // the address of Size bytes the function may write
)

// A Param describes one parameter of a HostFunc.
type Param struct {
	Type     ParamType
	Of       string // kind of a handle
	Size     uint32 // bytes of a fixed-size memory parameter
	MaxLen   uint32 // largest LenParam or string; 0 means as large as the arena
	Min, Max uint64 // unsigned range of a ScalarParam, checked when Max is not 0; out of it is a fault
}

// A ResultType says what a host function returns in r0.
type ResultType uint8

// Result types.
const (
	VoidResult    ResultType = iota // nothing: r0 must not be read
	ScalarResult                    // an integer
	HandleResult                    // a handle of kind Of, perhaps null
	AddressResult                   // an arena address or 0
)

// A Result describes what a HostFunc returns.
type Result struct {
	Type     ResultType
	Of       string
	Nullable bool
	// Max bounds a ScalarResult when it is not 0: the verifier relies on it, so a larger result is a fault.
	Max uint64
}

// A HostFunc is a function of the host that programs call by name.
type HostFunc struct {
	Name    string
	Params  []Param // at most 5
	Result  Result
	Effect  Effect
	MayFree bool   // handles die, except the context's and those of Stable kinds
	Cost    uint32 // fuel per call, besides the instruction itself; one more per 8 bytes of memory arguments

	// Fn runs the function on the connection's goroutine. a holds r1 to r5; only the declared parameters mean
	// anything. It must not keep m or slices of the arena after it returns. An error is a fault of the program.
	// It must not panic. In the arena it changes its memory arguments and memory that the host gave out (heap, call
	// buffers, globals) only: the verifier relies on what a program keeps on its stack.
	Fn func(m *Machine, a *[5]uint64) (uint64, error)
}
