package vm

import "unsafe"

// A Module is a verified and lowered object: immutable, shared by any number of instances and goroutines.
type Module struct {
	object *Object
	env    *Env
	layout layout
	code   []Inst
	engine engine
}

// A Prog is one program of a module.
type Prog struct {
	Section string
	Name    string
	entry   int32  // index in Module.code
	need    uint64 // static view slots that a call must set
}

// An engine runs lowered code. run executes from entry until the program ends; it returns true with the result in
// s.regs[0], or false with s.faultKind, s.faultInst and s.faultAddr set. Before it, s.regs, s.fuel, s.views and the
// arena fields are set and s.depth is 0; after it s.fuel is what is left, also after a fault. close frees what the
// engine holds; nothing runs then.
type engine interface {
	run(m *Machine, s *state, entry int32) bool
	close()
}

// An Instance is a module's memory for one connection. It belongs to one goroutine at a time.
type Instance struct {
	module  *Module
	base    unsafe.Pointer // host address of arena address 0
	end     uint32         // arena addresses end here
	machine Machine
	budget  *int64
}
