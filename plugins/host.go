package plugins

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

// A Function is a function of the engine that pluglets call by name.
type Function struct {
	Name   string
	Group  string // the concern it belongs to
	C      string // its C declaration, without "extern" and semicolon
	Doc    string
	Effect vm.Effect
	// Free: using it takes no declaration in the manifest, although its effect
	// goes beyond the plugin: it is how a pluglet answers.
	Free bool

	params  []vm.Param
	result  vm.Result
	mayFree bool
	cost    uint32
	run     func(*frame, *[5]uint64) (uint64, error)
}

// Declared reports whether a plugin has to name the function in its manifest.
func (f *Function) Declared() bool { return f.Effect >= vm.Sink && !f.Free }

// MayFree reports whether calling it makes objects that the pluglet holds
// unusable, except those that came with the context.
func (f *Function) MayFree() bool { return f.mayFree }

// functions lists all host functions in the order of the reference.
var functions = concat(
	timeFunctions, memoryFunctions, logFunctions, messageFunctions, mapFunctions, objectFunctions, streamFunctions,
	answerFunctions, frameFunctions, packetFunctions, pathFunctions, operationFunctions, connFunctions,
)

func concat(lists ...[]Function) []Function {
	var all []Function
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Functions lists the host functions in the order of the reference.
func Functions() []Function { return append([]Function(nil), functions...) }

var functionNames = func() map[string]*Function {
	m := make(map[string]*Function, len(functions))
	for i := range functions {
		m[functions[i].Name] = &functions[i]
	}
	return m
}()

// errObserver: a pluglet that may only observe, since one that observes ran it,
// called a function that does more.
var errObserver = errors.New("a pluglet that only observes may not call this")

// hostFunc makes f what the machine calls.
func (f *Function) hostFunc() vm.HostFunc {
	run, acts := f.run, f.Effect >= vm.Reserve
	return vm.HostFunc{
		Name: f.Name, Params: f.params, Result: f.result, Effect: f.Effect, MayFree: f.mayFree, Cost: f.cost,
		Fn: func(m *vm.Machine, a *[5]uint64) (uint64, error) {
			h, ok := m.User().(*frame)
			if !ok {
				return 0, errors.New("called outside an operation")
			}
			if acts && h.call.ReadOnly() {
				return 0, errObserver
			}
			h.m = m
			return run(h, a)
		},
	}
}

// A frame is one call of a pluglet: what host functions know of it.
type frame struct {
	in      *Instance
	p       *pluglet
	m       *vm.Machine
	call    *protoops.Call // the pluglet's own
	src     *protoops.Call // whose arguments it sees
	staging [maxMembers]uint64
	views   [vm.FirstDynamicSlot - 1]unsafe.Pointer // slot n is views[n-1]
	vmCall  vm.Call
	trial   *trialCall // the arguments are made up
}

// maxMembers bounds the members of a context.
const maxMembers = 32

func (h *frame) conn() *core.Conn { return h.in.conn }

// object returns what handle a names, nil if it is null. The machine has
// checked that it is of type T's kind.
func object[T any](h *frame, a uint64) *T { return (*T)(h.m.View(a)) }

// handle names p for the rest of the call.
func handle[T any](h *frame, kind int, p *T) (uint64, error) {
	return h.m.NewHandle(kind, unsafe.Pointer(p))
}

// bytes returns n bytes of the pluglet's memory to read.
func (h *frame) bytes(addr, n uint64) ([]byte, error) {
	b := h.m.Bytes(addr, n)
	if b == nil && n > 0 {
		return nil, fmt.Errorf("%d bytes at %#x are outside memory", n, addr)
	}
	return b, nil
}

// writable returns n bytes of the pluglet's memory to write.
func (h *frame) writable(addr, n uint64) ([]byte, error) {
	b := h.m.Writable(addr, n)
	if b == nil && n > 0 {
		return nil, fmt.Errorf("%d bytes at %#x are not writable memory", n, addr)
	}
	return b, nil
}

// Results of functions that may be refused without being a fault.
const (
	done    = 0
	refused = ^uint64(0) // -1
)

func result(ok bool) (uint64, error) {
	if ok {
		return done, nil
	}
	return refused, nil
}

// Shorthands for the tables in host_*.go.
var (
	scalar    = vm.Param{Type: vm.ScalarParam}
	memRead   = vm.Param{Type: vm.MemReadParam}
	memWrite  = vm.Param{Type: vm.MemWriteParam}
	value     = vm.Result{Type: vm.ScalarResult}
	truth     = vm.Result{Type: vm.ScalarResult, Max: 1}
	nothing   = vm.Result{Type: vm.VoidResult}
	address   = vm.Result{Type: vm.AddressResult}
	textParam = vm.Param{Type: vm.CStringParam, MaxLen: 256}
)

func of(kind int) vm.Param { return vm.Param{Type: vm.HandleParam, Of: kinds[kind].Name} }

func orNull(kind int) vm.Param {
	return vm.Param{Type: vm.NullableHandleParam, Of: kinds[kind].Name}
}

func lengthTo(n uint32) vm.Param { return vm.Param{Type: vm.LenParam, MaxLen: n} }

func readFixed(n uint32) vm.Param { return vm.Param{Type: vm.MemReadFixedParam, Size: n} }

func writeFixed(n uint32) vm.Param { return vm.Param{Type: vm.MemWriteFixedParam, Size: n} }

// gives is the result of a function that finds an object, or none.
func gives(kind int) vm.Result {
	return vm.Result{Type: vm.HandleResult, Of: kinds[kind].Name, Nullable: true}
}

func givesSure(kind int) vm.Result {
	return vm.Result{Type: vm.HandleResult, Of: kinds[kind].Name}
}

func truthOf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
