//go:build linux && (amd64 || arm64) && !nojit

package vm

// A unit is what is compiled at once: the lowered code of a module.
type unit struct {
	ir      []Inst
	entries []int32 // where programs start
	args    []uint8 // per entry: r1 to r(args) are set by Go
	params  []uint8 // per import: how many arguments it takes
	rwStart uint32
}

// compiled is machine code and what the engine has to know of it.
type compiled struct {
	code       []byte
	entry      []uint32 // per index in Module.code: offset of the way in, if a program starts there
	resumeCall uint32   // way back in after IRHost
	resumeAll  uint32   // way back in with all registers
}

// compileOptions are for tests: they switch off what depends on the program or the processor.
type compileOptions struct {
	noBMI2        bool // amd64: shift by way of CL
	frameInMemory bool // amd64: r10 has no register
	noCaches      bool // no registers for views
}
