package vm

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// A cProgram is a program of testdata/c with the host that it meets.
type cProgram struct {
	path hostPath
	ctx  hostCtx
	in   *Instance
	call Call
}

func newCProgram(t testing.TB, object, engine string) *cProgram {
	t.Helper()
	m, err := Compile(loadTestdata(t, object), cEnv(), Options{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Release)
	p := &cProgram{
		path: hostPath{
			narrow: 77, mss: 1200, cwnd: 120000, inflight: 90000, ssthresh: 100000,
			minrtt: 29000, latest: 31000, srtt: 30000, rttvar: 4000, ptoCount: 3,
		},
		ctx: hostCtx{
			len: 10, c: 0x0123456789abcdef, b: -7, a: 5, acked: 2400, ackDelay: 1500, maxAckDelay: 25000,
		},
	}
	for i := range p.ctx.id {
		p.ctx.id[i] = byte(i + 1)
	}
	if p.in, err = m.NewInstance(64<<10, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.in.Close)
	addr, b := p.in.Buffer()
	p.ctx.buf = uint64(addr)
	for i := range 10 {
		b[i] = byte(10 * i)
	}
	p.call.Views = []unsafe.Pointer{unsafe.Pointer(&p.ctx), unsafe.Pointer(&p.path)}
	return p
}

func (p *cProgram) run(t testing.TB, section string) (uint64, error) {
	t.Helper()
	prog, ok := p.in.Module().Program(section)
	if !ok {
		t.Fatalf("no program in section %q", section)
	}
	return p.in.Run(prog, &p.call)
}

// From C to a result, on every engine. What is not about the host's layout was
// computed by the same source compiled for the machine at hand.
func TestCPrograms(t *testing.T) {
	for _, test := range []struct {
		object, section string
		want            uint64
	}{
		{"ack_direct", "test/ack_direct", 120024},
		{"alu", "test/alu", 0xa628597e834c92dd},
		{"alu", "test/alu_mix", 0x112be26053f6ace5},
		{"atomics", "test/atomic", 0xa3d70a3d70a6e68},
		{"builtins", "test/copy", 0x2c65},
		{"builtins", "test/atomics", 0x123456789abcdf2},
		{"calls", "test/calls", 0x95f1a619b2d7efbe},
		{"calls", "test/deep8", 0xb1},
		{"core", "test/core_fields", 5 - 7 + 0x0123456789abcdef + 4 + 20 + 1200},
		{"core", "test/core_flavour", 1200 + 120000 + 77},
		{"core", "test/core_info", 8041010323208010},
		{"core", "test/core_weak", 41},
		{"core", "test/core_buffer", 450},
		{"csum", "test/csum", 0x1c0c},
		{"empty", "test/empty", 0},
		{"globals", "test/globals", 0x18ef2},
		{"globals", "test/strings", 24},
		{"globals", "test/constants", 0x3ff8000000004a70},
		{"host10", "test/host10", 55},
		{"loops", "test/bounded", 0xffffffffffffff9b},
		{"loops", "test/nested", 0xcaa7eca1d4580659},
		{"loops", "test/limited", 0x12d},
		{"loops", "test/metered", 0x16d},
		{"mem", "test/mem", 0x4c1d6dd0},
		{"mem", "test/widths", 0x8123456877fa08ba},
		{"meta", "test/meta/0x30", 2},
		{"stack", "test/stack", 0xfe8e10},
		{"switch", "test/switch_code", 0x123456789abcdf5},
		{"switch", "test/switch_value", 68},
		{"switch", "test/switch_string", 4},
	} {
		for _, engine := range testEngines(t) {
			objects := []string{test.object}
			if slices.Contains(testObjects(t), "v4/"+test.object) {
				objects = append(objects, "v4/"+test.object)
			}
			for _, object := range objects {
				p := newCProgram(t, object, engine)
				got, err := p.run(t, test.section)
				if err != nil || got != test.want {
					t.Errorf("%s %s on %s: %#x, %v; want %#x", object, test.section, engine, got, err, test.want)
				}
				if test.section == "test/ack_direct" {
					want := hostPath{
						narrow: 77, mss: 1200, cwnd: 120024, inflight: 87600, ssthresh: 100000,
						minrtt: 29000, latest: 31000, srtt: 29937, rttvar: 3125,
					}
					if p.path != want {
						t.Errorf("on %s: path %+v, want %+v", engine, p.path, want)
					}
				}
			}
		}
	}
}

// What a program proves wrong shows where in the source.
func TestCFaults(t *testing.T) {
	for _, engine := range testEngines(t) {
		p := newCProgram(t, "loops", engine)
		_, err := p.run(t, "test/forever")
		var f *Fault
		if !errors.As(err, &f) || f.Kind != FaultFuel {
			t.Fatalf("forever on %s: %v", engine, err)
		}
		if f.Function != "forever" || !strings.HasSuffix(f.File, "loops.c") || f.Line == 0 || f.Disasm == "" {
			t.Errorf("fault %+v", f)
		}
	}
}

// What is refused names the function and the line.
func TestCRefused(t *testing.T) {
	for object, want := range map[string]string{
		"recursion":  "recurs",
		"deep":       "deep",
		"core_index": "pq_ctx",
	} {
		_, err := Compile(loadTestdata(t, object), cEnv(), Options{})
		var ve *VerifyError
		if !errors.As(err, &ve) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", object, err, want)
		}
		t.Log(err)
	}
}
