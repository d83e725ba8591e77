package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// hostPath and hostCtx are what the programs of testdata/c know as struct
// pq_path and struct pq_ctx, with a layout of their own.
type hostPath struct {
	narrow, mss                           uint32
	cwnd, inflight, ssthresh              uint64
	minrtt, latest, srtt, rttvar, padding uint64
	ptoCount                              uint32
}

type hostCtx struct {
	id                           [20]byte
	len                          uint32
	buf                          uint64 // arena address
	path                         uint64 // place of a handle
	c                            uint64
	b                            int32
	a                            uint32
	acked, ackDelay, maxAckDelay uint64
}

// cEnv is the host of the programs of testdata/c.
func cEnv() *Env {
	var p hostPath
	var c hostCtx
	u64 := func(name string, offset uintptr, access Access) Field {
		return Field{Name: name, Offset: uint32(offset), Size: 8, Access: access}
	}
	u32 := func(name string, offset uintptr, access Access) Field {
		return Field{Name: name, Offset: uint32(offset), Size: 4, Access: access}
	}
	return &Env{
		Kinds: []Kind{
			{Name: "pq_path", Size: uint32(unsafe.Sizeof(p)), Fields: []Field{
				u32("narrow", unsafe.Offsetof(p.narrow), AccessDirect),
				u32("mss", unsafe.Offsetof(p.mss), ReadOnly),
				u64("cwnd", unsafe.Offsetof(p.cwnd), AccessDirect),
				u64("inflight", unsafe.Offsetof(p.inflight), AccessDirect),
				u64("ssthresh", unsafe.Offsetof(p.ssthresh), AccessDirect),
				u64("minrtt", unsafe.Offsetof(p.minrtt), AccessDirect),
				u64("latest", unsafe.Offsetof(p.latest), ReadOnly),
				u64("srtt", unsafe.Offsetof(p.srtt), AccessDirect),
				u64("rttvar", unsafe.Offsetof(p.rttvar), AccessDirect),
				u32("pto_count", unsafe.Offsetof(p.ptoCount), AccessDirect),
			}},
			{Name: "pq_ctx", Size: uint32(unsafe.Sizeof(c)), Stable: true, Fields: []Field{
				{Name: "id", Offset: uint32(unsafe.Offsetof(c.id)), Type: BytesField, Length: 20},
				u32("len", unsafe.Offsetof(c.len), ReadOnly),
				{Name: "buf", Offset: uint32(unsafe.Offsetof(c.buf)), Size: 8, Type: AddressField},
				{Name: "path", Offset: uint32(unsafe.Offsetof(c.path)), Size: 8, Type: HandleField, Of: "pq_path", Slot: 2},
				u64("c", unsafe.Offsetof(c.c), ReadOnly),
				{Name: "b", Offset: uint32(unsafe.Offsetof(c.b)), Size: 4, Signed: true},
				u32("a", unsafe.Offsetof(c.a), ReadOnly),
				u64("sample.acked", unsafe.Offsetof(c.acked), ReadOnly),
				u64("sample.ack_delay", unsafe.Offsetof(c.ackDelay), ReadOnly),
				u64("sample.max_ack_delay", unsafe.Offsetof(c.maxAckDelay), ReadOnly),
			}},
		},
		Funcs: []HostFunc{
			{
				Name: "t_add", Params: []Param{{}, {}}, Result: Result{Type: ScalarResult},
				Fn: func(_ *Machine, a *[5]uint64) (uint64, error) { return a[0] + a[1], nil },
			},
			{
				Name: "t_now", Result: Result{Type: ScalarResult},
				Fn: func(*Machine, *[5]uint64) (uint64, error) { return 1_000_000, nil },
			},
			{
				Name: "t_log", Params: []Param{{Type: CStringParam, MaxLen: 64}}, Result: Result{Type: ScalarResult}, Effect: Sink,
				Fn: func(m *Machine, a *[5]uint64) (uint64, error) {
					s, err := m.CString(a[0], 64)
					return uint64(len(s)), err
				},
			},
			{
				Name: "t_sum", Params: []Param{{Type: MemReadParam}, {Type: LenParam, MaxLen: 4096}}, Result: Result{Type: ScalarResult},
				Fn: func(m *Machine, a *[5]uint64) (sum uint64, err error) {
					for i, b := range m.Bytes(a[0], a[1]) {
						sum += uint64(i+1) * uint64(b)
					}
					return sum, nil
				},
			},
			{
				Name: "t_present", Params: []Param{{}}, Result: Result{Type: ScalarResult},
				Fn: func(_ *Machine, a *[5]uint64) (uint64, error) { return a[0] * 2, nil },
			},
		},
		Context: func(section string) (ContextSpec, error) {
			if !strings.HasPrefix(section, "test/") {
				return ContextSpec{}, fmt.Errorf("no programs belong into section %q", section)
			}
			return ContextSpec{Kind: "pq_ctx", Slot: 1, Effects: AllEffects}, nil
		},
	}
}

// loadTestdata loads testdata/name.o.
func loadTestdata(t testing.TB, name string) *Object {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".o"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Load(name, b, cEnv())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// testObjects lists the committed objects that must load.
func testObjects(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.o", "v4/*.o"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			f, _ = filepath.Rel("testdata", f)
			names = append(names, strings.TrimSuffix(f, ".o"))
		}
	}
	if len(names) == 0 {
		t.Fatal("no test objects")
	}
	return names
}

func TestLoadObjects(t *testing.T) {
	for _, name := range testObjects(t) {
		t.Run(name, func(t *testing.T) { checkLoaded(t, loadTestdata(t, name)) })
	}
}

// checkLoaded checks what holds for every loaded object.
func checkLoaded(t *testing.T, o *Object) {
	t.Helper()
	end := 0
	for _, f := range o.Functions {
		if f.Start != end || f.End <= f.Start {
			t.Errorf("function %s: slots %d to %d after %d", f.Name, f.Start, f.End, end)
		}
		end = f.End
		if !strings.Contains(f.Prototype, f.Name+"(") {
			t.Errorf("function %s: prototype %q", f.Name, f.Prototype)
		}
	}
	if end != len(o.Code) {
		t.Errorf("functions end at slot %d of %d", end, len(o.Code))
	}
	if len(o.Programs) == 0 {
		t.Error("no programs")
	}
	for i, l := range o.Lines {
		if l.Slot >= len(o.Code) || i > 0 && l.Slot <= o.Lines[i-1].Slot || l.Line == 0 || l.File == "" || l.Text == "" {
			t.Errorf("line %+v", l)
		}
	}
	for slot := 0; slot < len(o.Code); slot += o.Code[slot].Slots() {
		ins := o.Code[slot]
		if ins.IsLoadImm64() && ins.Src != 0 {
			t.Errorf("slot %d: %v with source %d", slot, ins, ins.Src)
		}
		if ins.Op == OpCall && ins.Src == CallHelper && (ins.Imm < 0 || int(ins.Imm) >= len(o.Imports)) {
			t.Errorf("slot %d: import %d of %d", slot, ins.Imm, len(o.Imports))
		}
		if ins.Op == OpCall && ins.Src == CallLocal {
			callee := o.Functions[o.FunctionAt(slot+1+int(ins.Imm))]
			if callee.Start != slot+1+int(ins.Imm) {
				t.Errorf("slot %d: call into the middle of %s", slot, callee.Name)
			}
		}
	}
	if o.RODataAddr != NullGuard || o.DataAddr%dataAlign != 0 || int(o.DataAddr) < NullGuard+len(o.ROData) ||
		o.BSSAddr != o.DataAddr+uint32(len(o.Data)) || o.End != o.BSSAddr+o.BSSSize {
		t.Errorf("addresses: read-only %#x+%#x, data %#x+%#x, bss %#x+%#x, end %#x",
			o.RODataAddr, len(o.ROData), o.DataAddr, len(o.Data), o.BSSAddr, o.BSSSize, o.End)
	}
}

func TestLoadGlobals(t *testing.T) {
	for _, name := range []string{"globals", "v4/globals"} {
		o := loadTestdata(t, name)
		word := func(addr uint32) uint32 {
			b := append(slices.Clone(o.ROData), make([]byte, int(o.DataAddr)-NullGuard-len(o.ROData))...)
			b = append(b, o.Data...)
			b = append(b, make([]byte, o.BSSSize)...)
			b = b[addr-NullGuard:]
			return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		}
		addr := func(name string) uint32 {
			g, ok := o.Globals[name]
			if !ok {
				t.Fatalf("no variable %q among %v", name, o.Globals)
			}
			return g.Addr
		}
		// Pointers from read-only data to read-only data, a chain of three.
		n := addr("first")
		for _, want := range []string{"first", "second", "third"} {
			text := o.ROData[word(n)-NullGuard:]
			if got := string(text[:len(want)]); got != want || text[len(want)] != 0 {
				t.Errorf("%s: name at %#x is %q, want %q", name, word(n), got, want)
			}
			n = word(n + 8)
		}
		if n != 0 {
			t.Errorf("%s: last next = %#x", name, n)
		}
		for pointer, to := range map[string]uint32{
			"where": addr("counter"), "middle": addr("zeroes") + 64, "above": addr("table") + 4,
		} {
			if got := word(addr(pointer)); got != to {
				t.Errorf("%s: %s points to %#x, want %#x", name, pointer, got, to)
			}
		}
		if g := o.Globals["zeroes"]; g.Section != ".bss" || g.Addr < o.BSSAddr {
			t.Errorf("%s: zeroes is %+v", name, g)
		}
		if g := o.Globals["aligned"]; g.Addr%64 != 0 {
			t.Errorf("%s: aligned is %+v", name, g)
		}
		if g := o.Globals["custom"]; g.Section != ".data.custom" || word(g.Addr) != 6 {
			t.Errorf("%s: custom is %+v", name, g)
		}
		if word(addr("counter")) != 40 {
			t.Errorf("%s: counter = %d", name, word(addr("counter")))
		}
	}
}

func TestLoadMeta(t *testing.T) {
	o := loadTestdata(t, "meta")
	for section, want := range map[string]string{
		"license":        "Apache-2.0\x00",
		".pquic.name":    "org.example.test\x00",
		".pquic.numbers": "\x01\x00\x00\x00\x02\x00\x00\x00\x98\xba\xdc\xfe",
	} {
		if got := string(o.Meta[section]); got != want {
			t.Errorf("section %q: %q, want %q", section, got, want)
		}
	}
	want := []Program{{Section: "test/meta", Name: "meta", Function: 0}, {Section: "test/meta/0x30", Name: "meta_parameter", Function: 1}}
	if !slices.Equal(o.Programs, want) {
		t.Errorf("programs %+v, want %+v", o.Programs, want)
	}
	if o.End != NullGuard {
		t.Errorf("metadata takes memory: end %#x", o.End)
	}
}

func TestLoadImports(t *testing.T) {
	o := loadTestdata(t, "core")
	want := []Import{{Name: "t_missing", Weak: true}, {Name: "t_present", Weak: true}}
	if !slices.Equal(o.Imports, want) {
		t.Errorf("imports %v, want %v", o.Imports, want)
	}
}

// The offsets that programs end up with are those of the host's structures.
func TestLoadFields(t *testing.T) {
	o := loadTestdata(t, "core")
	env := cEnv()
	seen := map[string]bool{}
	for _, f := range o.Fields {
		ins := o.Code[f.Slot]
		if f.Form != "byte_offset" || ins.Class() != ClassLDX {
			continue
		}
		kind := env.Kinds[slices.IndexFunc(env.Kinds, func(k Kind) bool { return k.Name == f.Kind })]
		name, offset := f.Field, 0
		if i := strings.IndexByte(name, '['); i >= 0 {
			if _, err := fmt.Sscanf(name[i:], "[%d]", &offset); err != nil {
				t.Fatal(err)
			}
			name = name[:i]
		}
		field := kind.Fields[slices.IndexFunc(kind.Fields, func(f Field) bool { return f.Name == name })]
		if int(ins.Off) != int(field.Offset)+offset {
			t.Errorf("%s.%s: %v, want offset %d", f.Kind, f.Field, ins, int(field.Offset)+offset)
		}
		if field.Size != 0 && ins.Size() != field.Size {
			t.Errorf("%s.%s: %v, want %d bytes", f.Kind, f.Field, ins, field.Size)
		}
		seen[f.Kind+"."+f.Field] = true
	}
	for _, want := range []string{"pq_ctx.a", "pq_ctx.b", "pq_ctx.path", "pq_ctx.id[3]", "pq_ctx.id[19]", "pq_path.mss", "pq_path.cwnd", "pq_path.narrow", "pq_ctx.buf"} {
		if !seen[want] {
			t.Errorf("no load of %s; fields %+v", want, o.Fields)
		}
	}
}

// A file of testdata/c/refused starts with what the error must say.
func TestLoadRefused(t *testing.T) {
	sources, err := filepath.Glob("testdata/c/refused/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".c")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := strings.Cut(strings.TrimPrefix(string(text), "// refused: "), "\n")
			b, err := os.ReadFile("testdata/refused/" + name + ".o")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(name, b, cEnv())
			var le *LoadError
			if !errors.As(err, &le) {
				t.Fatalf("error %v, want a LoadError that says %q", err, want)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q, want %q in it", err, want)
			}
			if le.Function != "" && !strings.Contains(err.Error(), fmt.Sprintf("function %q", le.Function)) {
				t.Errorf("error %q does not name the function", err)
			}
			t.Log(err)
		})
	}
}

// The program that asks for a field may not use it without asking.
func TestLoadFieldNotAsked(t *testing.T) {
	b, err := os.ReadFile("testdata/core.o")
	if err != nil {
		t.Fatal(err)
	}
	env := cEnv()
	env.Kinds[0].Fields = slices.DeleteFunc(env.Kinds[0].Fields, func(f Field) bool { return f.Name == "cwnd" })
	_, err = Load("core", b, env)
	if err == nil || !strings.Contains(err.Error(), `struct pq_path has no field "cwnd" here`) {
		t.Errorf("error %v", err)
	}
}

func TestLoadNilEnv(t *testing.T) {
	b, err := os.ReadFile("testdata/empty.o")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load("empty", b, nil); err != nil {
		t.Error(err)
	}
}

// What clang 19 makes of the sources is what is committed.
func TestRebuild(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	for _, sources := range []string{"c", "bench", "bounds"} {
		if err := os.CopyFS(filepath.Join(dir, sources), os.DirFS(filepath.Join("testdata", sources))); err != nil {
			t.Fatal(err)
		}
	}
	makefile, err := os.ReadFile("testdata/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), makefile, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("make", "-s", "-B", "-C", dir, "all")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	built := 0
	for _, pattern := range []string{"*.o", "*/*.o"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		built += len(files)
		for _, f := range files {
			name, _ := filepath.Rel(dir, f)
			got, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what its source compiles to (%d bytes, %d committed); run make -C vm/testdata", name, len(got), len(want))
			}
		}
	}
	if want := len(testObjects(t)); built <= want {
		t.Errorf("%d objects built, %d committed", built, want)
	}
}

// Objects of all compilers load that exist here, for all instruction sets.
func TestCompilers(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles each program with each compiler")
	}
	sources, err := filepath.Glob("testdata/c/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	// All programs for the usual instruction set, for the others those that
	// differ most in relocations.
	some := slices.DeleteFunc(slices.Clone(sources), func(s string) bool {
		return !slices.Contains([]string{"globals.c", "calls.c", "core.c", "switch.c", "builtins.c"}, filepath.Base(s))
	})
	found := false
	for _, version := range []string{"14", "15", "16", "17", "18", "19", "20"} {
		clang, err := exec.LookPath("clang-" + version)
		if err != nil {
			continue
		}
		found = true
		for _, cpu := range knownCPUs(t, clang) {
			compiled := some
			if cpu == "v3" {
				compiled = sources
			}
			t.Run(version+"/"+cpu, func(t *testing.T) { compileAll(t, clang, cpu, compiled) })
		}
	}
	if !found {
		t.Skip("no clang is installed")
	}
}

// knownCPUs returns the instruction sets that a compiler writes.
func knownCPUs(t *testing.T, clang string) []string {
	out, err := exec.Command(clang, "--target=bpf", "-print-supported-cpus").CombinedOutput()
	if err != nil {
		// Not all versions print them for this target.
		out, _ = exec.Command(clang, "--target=bpf", "-mcpu=none", "-c", "-x", "c", "/dev/null", "-o", "/dev/null").CombinedOutput()
	}
	var known []string
	for _, cpu := range []string{"v1", "v2", "v3", "v4"} {
		if regexp.MustCompile(`\b` + cpu + `\b`).Match(out) {
			known = append(known, cpu)
		}
	}
	if len(known) == 0 {
		t.Fatalf("%s knows no instruction set:\n%s", clang, out)
	}
	return known
}

func compileAll(t *testing.T, clang, cpu string, sources []string) {
	dir := t.TempDir()
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".c")
		object := filepath.Join(dir, name+".o")
		cmd := exec.Command(clang, "--target=bpf", "-mcpu="+cpu, "-O2", "-g", "-c", source, "-o", object)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
			continue
		}
		b, err := os.ReadFile(object)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Load(name, b, cEnv())
		if err != nil {
			t.Error(err)
			continue
		}
		checkLoaded(t, o)
	}
}
