package vm

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// TestHostile runs programs that must be refused or stopped, each in the way its file says.
func TestHostile(t *testing.T) {
	for _, engine := range testEngines(t) {
		t.Run(engine, func(t *testing.T) {
			for _, c := range readCases(t, "testdata/hostile.txt") {
				t.Run(c.name, func(t *testing.T) { runHostile(t, engine, &c) })
			}
		})
	}
}

// runHostile gives the program an instance whose buffer starts with the address where memory ends and the address
// where writable memory begins. All memory around must stay as it was.
func runHostile(t *testing.T, engine string, c *textCase) {
	m, err := Compile(rawFunctions("hostile", c.code), testEnv(), Options{Engine: engine})
	if err != nil {
		var e *VerifyError
		if want, ok := strings.CutPrefix(c.want, "refused"); !ok || !errors.As(err, &e) || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Fatalf("%v; want %s", err, c.want)
		}
		return
	}
	defer m.Release()
	in, err := m.NewInstance(4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	addr, b := in.Buffer()
	heap, size := in.Heap()
	binary.LittleEndian.PutUint64(b, uint64(heap+size))
	binary.LittleEndian.PutUint64(b[8:], uint64(m.layout.rwStart))
	p, _ := m.Program("raw")
	r, err := in.Run(p, &Call{Args: [5]uint64{uint64(addr), uint64(len(b))}})
	if want, ok := strings.CutPrefix(c.want, "fault "); ok {
		var f *Fault
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%#x, %v; want %s", r, err, c.want)
		}
		return
	}
	if err != nil || c.want != "=0" || r != 0 {
		t.Fatalf("%#x, %v; want %s", r, err, c.want)
	}
}
