package vm

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testEngines are the engines of this build.
func testEngines(t testing.TB) []string {
	t.Helper()
	var list []string
	for _, name := range []string{"interp", "jit", "ubpf"} {
		m, err := Compile(Raw("probe", []Instruction{{Op: OpMov64Imm}, {Op: OpExit}}), testEnv(), Options{Engine: name})
		if err != nil {
			continue
		}
		m.Release()
		list = append(list, name)
	}
	return list
}

// testEnv is the environment of programs that get integers: r1 is the address of the call buffer and r2 how many
// bytes are in it.
func testEnv() *Env {
	return &Env{
		Context: func(string) (ContextSpec, error) { return ContextSpec{Scalars: 2, Effects: AllEffects}, nil },
		Funcs: []HostFunc{{
			Name: "identity", Params: []Param{{}}, Result: Result{Type: ScalarResult},
			Fn: func(_ *Machine, a *[5]uint64) (uint64, error) { return a[0], nil },
		}},
	}
}

// runRaw runs code with mem in the call buffer.
func runRaw(t testing.TB, engine string, code []Instruction, mem []byte) (uint64, error) {
	t.Helper()
	m, err := Compile(rawFunctions("vector", code), testEnv(), Options{Engine: engine})
	if err != nil {
		return 0, err
	}
	defer m.Release()
	in, err := m.NewInstance(4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	addr, b := in.Buffer()
	copy(b, mem)
	p, _ := m.Program("raw")
	return in.Run(p, &Call{Args: [5]uint64{uint64(addr), uint64(len(mem))}})
}

// rawFunctions is Raw for code with calls: each target of a call begins a function. Host functions are "identity".
func rawFunctions(name string, code []Instruction) *Object {
	o := Raw(name, code)
	starts := []int{0}
	for s, i := range code {
		if i.Op == OpCall && i.Src == CallLocal {
			if t := s + 1 + int(i.Imm); t > 0 && t < len(code) && !slices.Contains(starts, t) {
				starts = append(starts, t)
			}
		}
		for i.Op == OpCall && i.Src == CallHelper && i.Imm < 16 && int(i.Imm) >= len(o.Imports) {
			o.Imports = append(o.Imports, Import{Name: "identity"})
		}
	}
	slices.Sort(starts)
	o.Functions = nil
	for k, s := range starts {
		end := len(code)
		if k+1 < len(starts) {
			end = starts[k+1]
		}
		o.Functions = append(o.Functions, Function{Name: "f" + strconv.Itoa(k), Section: "raw", Start: s, End: end})
	}
	return o
}

// TestConformance runs the public vectors of RFC 9669, if they are there: lines of name, result, memory, flags and
// code, the latter three after one letter each.
func TestConformance(t *testing.T) {
	dir := os.Getenv("PQUIC_CONFORMANCE_DIR")
	if dir == "" {
		t.Skip("PQUIC_CONFORMANCE_DIR is not set: it names the folder of bpf_conformance.txt")
	}
	text, err := os.ReadFile(filepath.Join(dir, "bpf_conformance.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range testEngines(t) {
		t.Run(engine, func(t *testing.T) {
			total := 0
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				if len(f) != 5 {
					continue
				}
				total++
				t.Run(f[0], func(t *testing.T) {
					if f[0] == "callx.data" {
						t.Skip("calls through registers are refused on purpose")
					}
					runConformance(t, engine, f)
				})
			}
			if total != 313 {
				t.Errorf("%d vectors, want 313", total)
			}
		})
	}
}

func runConformance(t *testing.T, engine string, f []string) {
	want, err := strconv.ParseUint(f[1], 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := hex.DecodeString(strings.TrimPrefix(f[3], "m"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(f[4], "c"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := DecodeInstructions(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runRaw(t, engine, code, mem)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("result %#x, want %#x", got, want)
	}
}

// TestVectors runs the vectors of this repository on every engine.
func TestVectors(t *testing.T) {
	for _, file := range []string{"alu", "memory", "jumps"} {
		cases := readCases(t, "testdata/vectors/"+file+".txt")
		for _, engine := range testEngines(t) {
			t.Run(file+"/"+engine, func(t *testing.T) {
				for _, c := range cases {
					want, err := strconv.ParseUint(c.want, 0, 64)
					if err != nil {
						t.Fatal(c.name, err)
					}
					got, err := runRaw(t, engine, c.code, c.mem)
					if err != nil || got != want {
						t.Errorf("%s: %#x, %v; want %#x", c.name, got, err, want)
					}
				}
			})
		}
	}
}
