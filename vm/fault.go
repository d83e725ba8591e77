package vm

import (
	"fmt"
	"strings"
)

// A Fault says why and where a program was stopped. It is the error of Instance.Run.
type Fault struct {
	Object   string
	Program  string // name of the program that ran
	Section  string // its section
	Function string // name of the function that was active
	Slot     int    // instruction within that function, as the disassembly counts
	Kind     FaultKind
	Addr     uint64 // arena address, for loads, stores and arguments
	Disasm   string // the instruction
	File     string // source, if the object has line information
	Line     int
	Text     string // the source line itself
	Err      error  // what a host function returned or an argument lacked
}

// Error gives one line.
func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vm: %s: section %q: function %q: instruction %d (%s)", f.Object, f.Section, f.Function, f.Slot, f.Disasm)
	if f.Line > 0 {
		fmt.Fprintf(&b, " at %s:%d", f.File, f.Line)
	}
	fmt.Fprintf(&b, ": %s", f.Kind)
	switch f.Kind {
	case FaultLoad, FaultStore, FaultAlign:
		fmt.Fprintf(&b, " at address %#x", f.Addr)
	}
	if f.Err != nil && f.Kind != FaultFuel {
		fmt.Fprintf(&b, ": %v", f.Err)
	}
	return b.String()
}

// Unwrap returns Err.
func (f *Fault) Unwrap() error { return f.Err }

// fault describes how the program of lv was stopped.
func (in *Instance) fault(lv *level) *Fault {
	o := in.module.object
	slot := int(in.module.code[lv.faultInst].Slot)
	f := &Fault{
		Object:  o.Name,
		Program: lv.prog.Name,
		Section: lv.prog.Section,
		Kind:    lv.faultKind,
		Addr:    lv.faultAddr,
		Err:     lv.err,
		Disasm:  o.InstructionText(slot),
		Slot:    slot,
	}
	lv.err = nil
	if k := o.FunctionAt(slot); k >= 0 {
		f.Function = o.Functions[k].Name
		f.Slot -= o.Functions[k].Start
	}
	if l := o.lineOf(slot); l != nil {
		f.File, f.Line, f.Text = l.File, l.Line, l.Text
	}
	return f
}
