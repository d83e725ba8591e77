package vm

import (
	"bytes"
	"errors"
	"testing"
	"unsafe"
)

// FuzzVerify verifies random instructions and runs what is accepted: nothing may panic, no access may leave the
// arena, and a program that is proved must not run out of fuel.
func FuzzVerify(f *testing.F) {
	for _, file := range []string{"testdata/vectors/memory.txt", "testdata/vectors/jumps.txt", "testdata/hostile.txt", "testdata/handles.txt"} {
		for i, c := range readCases(f, file) {
			if i%7 == 0 {
				f.Add(EncodeInstructions(c.code))
			}
		}
	}
	env := handlesEnv()
	f.Fuzz(func(t *testing.T, b []byte) {
		code, err := DecodeInstructions(b[:len(b)/slotSize*slotSize])
		if err != nil || len(code) == 0 || len(code) > 200 {
			return
		}
		fuzzProgram(t, env, code)
	})
}

const guardBytes = 64

// fuzzProgram compiles and runs code with marks around the arena and behind every object of the host.
func fuzzProgram(t *testing.T, env *Env, code []Instruction) {
	o := handleObject(code)
	m, err := Compile(o, env, Options{Engine: "interp", Fuel: 5000})
	if err != nil {
		var e *VerifyError
		if !errors.As(err, &e) || e.Error() == "" {
			t.Fatalf("%T %v", err, err)
		}
		return
	}
	defer m.Release()
	in, err := m.NewInstance(256, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	behind := unsafe.Slice((*byte)(unsafe.Add(in.base, in.end)), guardBytes)
	fill(behind)
	guard := unsafe.Slice((*byte)(in.base), NullGuard)
	c := newHandleCall(in)
	c.Views[2] = c.Views[1]
	before := *(*testContext)(c.Views[0])
	_, err = in.Run(m.Programs()[0], c)
	if !marked(behind) {
		t.Fatal("a store beyond the arena")
	}
	if !bytes.Equal(guard, make([]byte, NullGuard)) {
		t.Fatal("a store in the null guard")
	}
	if before != *(*testContext)(c.Views[0]) {
		t.Fatal("a store in the context")
	}
	var f *Fault
	if errors.As(err, &f) {
		if f.Kind == FaultUnreachable {
			t.Fatal(f)
		}
		// Host functions cost fuel beside the instructions that the bound counts.
		if v := m.Report()[0]; f.Kind == FaultFuel && v.Proved && len(v.UsesFuncs) == 0 {
			t.Fatalf("%v, but it was %s", f, v)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	clear(behind)
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
}

func marked(b []byte) bool {
	for _, x := range b {
		if x != 0xa5 {
			return false
		}
	}
	return true
}
