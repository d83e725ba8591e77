package vm

import (
	"os"
	"testing"
	"unsafe"
)

// Benchmarks run the same work in Go and on every engine, in one run, since machines differ.

var measuredSum uint64

// measuredPath is the host's side of struct pq_path in testdata/bench.
type measuredPath struct {
	latest, srtt, rttvar, minrtt, cwnd, inflight, ssthresh, mss uint64
	acked, ackDelay, maxAckDelay, pto                           uint64
}

func measuredEnv() *Env {
	var fields []Field
	for i, name := range []string{"latest", "srtt", "rttvar", "minrtt", "cwnd", "inflight", "ssthresh", "mss", "acked",
		"ack_delay", "max_ack_delay", "pto"} {
		fields = append(fields, Field{Name: name, Offset: uint32(8 * i), Size: 8, Access: AccessDirect})
	}
	return &Env{
		Kinds: []Kind{{Name: "b_path", Size: uint32(unsafe.Sizeof(measuredPath{})), Fields: fields}},
		Context: func(string) (ContextSpec, error) {
			return ContextSpec{Kind: "b_path", Scalars: 2, Effects: AllEffects}, nil
		},
		Funcs: []HostFunc{{Name: "b_host", Params: []Param{{}, {}}, Result: Result{Type: ScalarResult},
			Fn: func(_ *Machine, a *[5]uint64) (uint64, error) { return a[0] + a[1], nil }}},
	}
}

// measuredModule compiles testdata/bench/bench.o for an engine.
func measuredModule(b testing.TB, engine string) *Module {
	elf, err := os.ReadFile("testdata/bench/bench.o")
	if err != nil {
		b.Fatal(err)
	}
	env := measuredEnv()
	o, err := Load("bench.o", elf, env)
	if err != nil {
		b.Fatal(err)
	}
	m, err := Compile(o, env, Options{Engine: engine, Fuel: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// native are the programs of bench.c in Go. mem is the call buffer.
var native = map[string]func(p *measuredPath, mem []byte) uint64{
	"bench/empty":  nativeEmpty,
	"bench/host10": nativeHost10,
	"bench/fields": nativeFields,
	"bench/ack":    nativeACK,
	"bench/alu":    nativeALU,
	"bench/csum":   nativeChecksum,
	"bench/mem":    nativeMemory,
}

//go:noinline
func nativeEmpty(*measuredPath, []byte) uint64 { return 0 }

//go:noinline
func nativeAdd(a, b uint64) uint64 { return a + b }

//go:noinline
func nativeHost10(*measuredPath, []byte) uint64 {
	s := uint64(0)
	for i := range uint64(10) {
		s = nativeAdd(s, i)
	}
	return s
}

//go:noinline
func nativeFields(p *measuredPath, _ []byte) uint64 {
	return (p.latest + p.srtt*3 + p.rttvar) ^ (p.minrtt + p.cwnd) ^ (p.inflight + p.ssthresh) ^ (p.mss + p.acked) ^ p.ackDelay
}

//go:noinline
func nativeACK(c *measuredPath, _ []byte) uint64 {
	l, mr, ad, mad := c.latest, c.minrtt, c.ackDelay, c.maxAckDelay
	if l < mr {
		mr = l
		c.minrtt = mr
	}
	if ad > mad {
		ad = mad
	}
	adj := l
	if l >= mr+ad {
		adj = l - ad
	}
	s, v := c.srtt, c.rttvar
	d := adj - s
	if s > adj {
		d = s - adj
	}
	c.rttvar = (3*v + d) >> 2
	c.srtt = (7*s + adj) >> 3
	a, inf := c.acked, c.inflight
	if inf > a {
		inf -= a
	} else {
		inf = 0
	}
	c.inflight = inf
	cw := c.cwnd
	if cw < c.ssthresh {
		cw += a
	} else {
		cw += c.mss * a / cw
	}
	c.cwnd = cw
	c.pto = 0
	return cw
}

//go:noinline
func nativeALU(*measuredPath, []byte) uint64 {
	x := uint64(88172645463325252)
	for range 10000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:noinline
func nativeChecksum(_ *measuredPath, mem []byte) uint64 {
	var s uint64
	for i := range uint32(10000) {
		at := (i * 2) & 1022
		s += uint64(mem[at]) | uint64(mem[at+1])<<8
	}
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	return ^s & 0xffff
}

//go:noinline
func nativeMemory(_ *measuredPath, mem []byte) uint64 {
	var s uint64
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&mem[0])), len(mem)/8)
	for i := range uint32(10000) {
		k := i & 127
		v := words[k]
		s += v
		words[k] = v + uint64(i)
	}
	return s
}

func newMeasuredPath() *measuredPath {
	return &measuredPath{latest: 30000, srtt: 31000, rttvar: 900, minrtt: 29000, cwnd: 50000, inflight: 30000,
		ssthresh: 1 << 40, mss: 1200, acked: 1200, ackDelay: 800, maxAckDelay: 25000}
}

// measuredOrder is the order of the benchmarks.
var measuredOrder = []string{"empty", "host10", "fields", "ack", "alu", "csum", "mem"}

// TestBenchPrograms holds the programs of the benchmarks to their counterparts in Go, and to no allocation.
func TestBenchPrograms(t *testing.T) {
	for _, engine := range testEngines(t) {
		m := measuredModule(t, engine)
		for _, name := range measuredOrder {
			in, c := measuredInstance(t, m)
			p, _ := m.Program("bench/" + name)
			got, err := in.Run(p, c)
			want := native["bench/"+name](newMeasuredPath(), make([]byte, 4096))
			if err != nil || got != want {
				t.Errorf("%s: %s: %d, %v; want %d", engine, name, got, err, want)
			}
			if n := testing.AllocsPerRun(10, func() { _, _ = in.Run(p, c) }); n != 0 {
				t.Errorf("%s: %s: %v allocations per run", engine, name, n)
			}
			in.Close()
		}
		for _, v := range m.Report() {
			if !v.Proved {
				t.Errorf("%s: %s", v.Section, v)
			}
		}
		m.Release()
	}
}

func measuredInstance(b testing.TB, m *Module) (*Instance, *Call) {
	budget := new(int64)
	*budget = 1 << 60
	in, err := m.NewInstance(4096, budget)
	if err != nil {
		b.Fatal(err)
	}
	addr, _ := in.Buffer()
	return in, &Call{Views: []unsafe.Pointer{unsafe.Pointer(newMeasuredPath())}, Args: [5]uint64{uint64(addr), 1024}}
}

func BenchmarkPrograms(b *testing.B) {
	for _, name := range measuredOrder {
		f := native["bench/"+name]
		b.Run(name+"/go", func(b *testing.B) {
			p, mem := newMeasuredPath(), make([]byte, 4096)
			for b.Loop() {
				measuredSum += f(p, mem)
			}
		})
		for _, engine := range testEngines(b) {
			b.Run(name+"/"+engine, func(b *testing.B) {
				m := measuredModule(b, engine)
				defer m.Release()
				in, c := measuredInstance(b, m)
				defer in.Close()
				p, _ := m.Program("bench/" + name)
				b.ReportAllocs()
				for b.Loop() {
					r, err := in.Run(p, c)
					if err != nil {
						b.Fatal(err)
					}
					measuredSum += r
				}
			})
		}
	}
}

func BenchmarkFault(b *testing.B) {
	code, err := assemble("r3 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r3 + 0)\nexit")
	if err != nil {
		b.Fatal(err)
	}
	m, err := Compile(Raw("fault", code), testEnv(), Options{Engine: "interp"})
	if err != nil {
		b.Fatal(err)
	}
	in, err := m.NewInstance(0, nil)
	if err != nil {
		b.Fatal(err)
	}
	addr, _ := in.Buffer()
	c := &Call{Args: [5]uint64{uint64(addr)}}
	p := m.Programs()[0]
	for b.Loop() {
		if _, err := in.Run(p, c); err == nil {
			b.Fatal("no fault")
		}
	}
}

// BenchmarkInstance measures what a connection pays for the memory of a plugin.
func BenchmarkInstance(b *testing.B) {
	m := measuredModule(b, "interp")
	p, _ := m.Program("bench/empty")
	c := &Call{Views: []unsafe.Pointer{unsafe.Pointer(newMeasuredPath())}}
	b.ReportAllocs()
	for b.Loop() {
		in, err := m.NewInstance(1<<20, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.Run(p, c); err != nil {
			b.Fatal(err)
		}
		in.Close()
	}
}

// BenchmarkVerify measures verification and lowering of the loops of testdata/bounds.
func BenchmarkVerify(b *testing.B) {
	elf, err := os.ReadFile("testdata/bounds/v3.o")
	if err != nil {
		b.Fatal(err)
	}
	env := boundsEnv()
	o, err := Load("v3.o", elf, env)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m, err := Compile(o, env, Options{Engine: "interp"})
		if err != nil {
			b.Fatal(err)
		}
		m.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(o.Code)), "ns/insn")
}
