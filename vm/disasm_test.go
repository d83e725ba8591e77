package vm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// disassemble returns the listing of all functions.
func disassemble(t *testing.T, o *Object, withSource bool) string {
	t.Helper()
	var b bytes.Buffer
	for f := range o.Functions {
		if f > 0 {
			b.WriteByte('\n')
		}
		if err := o.Disassemble(&b, f, withSource); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// The listings of testdata/disasm are read by people; UPDATE_GOLDEN=1 writes
// them anew.
func TestDisassemble(t *testing.T) {
	for _, name := range []string{"ack_direct", "atomics", "calls", "core", "globals", "loops", "v4/alu", "v4/switch"} {
		got := disassemble(t, loadTestdata(t, name), true)
		golden := filepath.Join("testdata", "disasm", strings.ReplaceAll(name, "/", "_")+".txt")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the listing differs from %s; UPDATE_GOLDEN=1 writes it anew:\n%s", name, golden, got)
		}
	}
}

func TestDisassembleWithoutSource(t *testing.T) {
	got := disassemble(t, loadTestdata(t, "ack_direct"), false)
	if strings.Contains(got, "ack_direct.c:") {
		t.Errorf("source lines in\n%s", got)
	}
}

// Jumps out of a function and into the middle of an instruction show how far
// they go.
func TestDisassembleOddJumps(t *testing.T) {
	pair := LoadImm64(1, 5)
	o := Raw("odd", []Instruction{{Op: OpJA, Off: 1}, pair[0], pair[1], {Op: OpJA, Off: 77}, {Op: OpJA, Off: -5}, {Op: OpExit}})
	want := `main:  section "raw"
L1:
     0: goto +1
     1: r1 = 0x5 ll
     3: goto +77
     4: goto L1
     5: exit
`
	if got := disassemble(t, o, true); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := o.InstructionText(4); got != "goto -5" {
		t.Errorf("text %q", got)
	}
	if got := o.InstructionText(6) + o.InstructionText(-1); got != "" {
		t.Errorf("text %q of no instruction", got)
	}
}

type failingWriter struct{ after int }

var errFull = errors.New("full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestDisassembleWriteError(t *testing.T) {
	o := loadTestdata(t, "calls")
	for after := range 3 {
		if err := o.Disassemble(&failingWriter{after}, 0, true); !errors.Is(err, errFull) {
			t.Errorf("after %d writes: error %v", after, err)
		}
	}
}
