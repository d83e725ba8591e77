//go:build linux && (amd64 || arm64) && !nojit

package vm

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// permissions returns what /proc/self/maps says about the mapping at an address: "r-xp".
func permissions(t *testing.T, addr uintptr) string {
	t.Helper()
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var start, end uintptr
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &start, &end, &mode); n == 3 && start <= addr && addr < end {
			return mode
		}
	}
	return ""
}

func TestCodeIsNeverWritable(t *testing.T) {
	m, err := newExecMemory([]byte{1, 2, 3, 4})
	if err != nil {
		t.Skip(err)
	}
	defer m.free()
	if got := permissions(t, m.base()); got != "r-xp" {
		t.Errorf("code is mapped %q", got)
	}
	if m.pages[3] != 4 || m.pages[4] == 0 && m.pages[len(m.pages)-2] == 0 {
		t.Errorf("the page holds % x … % x, not the code and then traps", m.pages[:8], m.pages[len(m.pages)-4:])
	}
}

var returnZero = []Instruction{{Op: OpMov64Imm}, {Op: OpExit}}

// Compiled code lives as long as the last of the module's references, those of instances among them.
func TestCodeIsFreedWithTheLastReference(t *testing.T) {
	m, err := Compile(Raw("zero", returnZero), testEnv(), Options{Engine: "jit"})
	if err != nil {
		t.Skip(err)
	}
	e := m.engine.(*jitEngine)
	in, err := m.NewInstance(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Release()
	p, _ := m.Program("raw")
	if _, err := in.Run(p, nil); err != nil {
		t.Errorf("while an instance refers to it: %v", err)
	}
	in.Close()
	if e.memory.pages != nil {
		t.Error("the code outlives its module")
	}
}

// Where the system refuses executable memory, "auto" means the interpreter and "jit" an error.
func TestRefusedExecutableMemory(t *testing.T) {
	old := jitAvailable
	defer func() { jitAvailable = old }()
	refused := errors.New("refused by the system")
	jitAvailable = func() error { return refused }
	m, err := Compile(Raw("zero", returnZero), testEnv(), Options{Engine: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if m.Engine() != "interp" {
		t.Errorf("the engine is %q", m.Engine())
	}
	if _, err := Compile(Raw("zero", returnZero), testEnv(), Options{Engine: "jit"}); !errors.Is(err, refused) {
		t.Errorf("engine jit: %v", err)
	}
}

// The compiler relies on the verifier, but not for what would write outside the state.
func TestCompilerRefuses(t *testing.T) {
	deep := []Inst{}
	for i := range int32(MaxCallDepth + 1) {
		deep = append(deep, Inst{Op: IRCall, Target: 2*i + 2, Cost: 2}, Inst{Op: IRExit})
	}
	deep = append(deep, Inst{Op: IRExit, Cost: 1})
	for _, tc := range []struct {
		name, want string
		ir         []Inst
	}{
		{"recursion", "recursion", []Inst{{Op: IRCall, Target: 0, Cost: 2}, {Op: IRExit}}},
		{"mutual recursion", "recursion", []Inst{{Op: IRCall, Target: 2, Cost: 2}, {Op: IRExit}, {Op: IRCall, Target: 0, Cost: 2}, {Op: IRExit}}},
		{"depth", "functions deep", deep},
		{"jump out of the code", "jumps to", []Inst{{Op: IRJump, Target: 7, Cost: 1}}},
		{"jump before the code", "jumps to", []Inst{{Op: IRJump, Target: -1, Cost: 1}}},
	} {
		_, err := compileCode(&unit{ir: tc.ir, entries: []int32{0}, args: []uint8{0}, rwStart: genRWStart}, compileOptions{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Fuel that is used up exactly is enough; one less is not. The limits lie around the slices that compiled code gets.
func TestFuelAtSliceBoundaries(t *testing.T) {
	const rounds = jitSlice
	code := []Inst{
		{Op: IRMov64I, Dst: R0, Imm: 0, Cost: 2}, {Op: IRFall},
		{Op: IRAdd64I, Dst: R0, Imm: 1, Cost: 2}, {Op: IRJne64I, Dst: R0, Imm: rounds, Target: 2},
		{Op: IRExit, Cost: 1},
	}
	c, err := compileCode(&unit{ir: code, entries: []int32{0}, args: []uint8{0}, rwStart: genRWStart}, compileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newJITEngine(code, c)
	if err != nil {
		t.Skip(err)
	}
	defer e.close()
	const all = 2 + 2*rounds + 1
	for _, fuel := range []int64{-5, 0, 1, 2, 3, jitSlice - 1, jitSlice, jitSlice + 1, 2 * jitSlice, 2*jitSlice + 1, all - 1, all, all + 1, 3 * all} {
		want, got := execute(code, interp{code}, 0, 1, fuel), execute(code, e, 0, 1, fuel)
		if d := want.differs(got); d != "" {
			t.Errorf("fuel %d: interpreter and compiled code differ:\n%s", fuel, d)
		}
		if got.ok != (fuel >= all) {
			t.Errorf("fuel %d of %d: ok is %v", fuel, all, got.ok)
		}
	}
}

// BenchmarkMachineCode: from lowered code to machine code in executable memory, for a program of about a thousand
// instructions.
func BenchmarkMachineCode(b *testing.B) {
	code := []Instruction{{Op: OpMov64Imm}}
	for i := range 250 {
		slot := int16(-8 * (i%32 + 1))
		code = append(code,
			Instruction{Op: ClassSTX | ModeMEM | SizeDW, Dst: R10, Src: 0, Off: slot},
			Instruction{Op: ClassLDX | ModeMEM | SizeDW, Dst: 3, Src: R10, Off: slot},
			Instruction{Op: ClassALU64 | ALUAdd | SrcX, Dst: 0, Src: 3},
			Instruction{Op: ClassJMP | JmpEQ | SrcK, Dst: 3, Imm: int32(i)})
	}
	code = append(code, Instruction{Op: OpExit})
	m, err := Compile(Raw("large", code), testEnv(), Options{Engine: "interp"})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Release()
	t := best(b, func(n int) {
		for range n {
			e, err := compileJIT(m, []int32{m.programs[0].entry})
			if err != nil {
				b.Skip(err)
			}
			e.close()
		}
	})
	b.ReportMetric(t/float64(len(code))*100, "best-ns/100insns")
}
