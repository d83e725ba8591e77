package vm

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// loadHostile loads bytes that may be anything: the only outcomes are an
// object without contradictions and a LoadError that no panic has caused.
func loadHostile(t *testing.T, b []byte, env *Env) *Object {
	t.Helper()
	o, err := Load("hostile", b, env)
	if err != nil {
		var le *LoadError
		if !errors.As(err, &le) {
			t.Fatalf("error of type %T: %v", err, err)
		}
		if strings.Contains(err.Error(), recovered) {
			t.Fatal(err)
		}
		return nil
	}
	checkHostile(t, o)
	return o
}

// checkHostile checks what everything behind the loader relies on.
func checkHostile(t *testing.T, o *Object) {
	t.Helper()
	end := 0
	for _, f := range o.Functions {
		if f.Start != end || f.End <= f.Start {
			t.Fatalf("function %q: slots %d to %d after %d", f.Name, f.Start, f.End, end)
		}
		end = f.End
	}
	if end != len(o.Code) || end > MaxInstructions || len(o.Functions) > MaxFunctions {
		t.Fatalf("%d functions end at slot %d of %d", len(o.Functions), end, len(o.Code))
	}
	for slot := 0; slot < len(o.Code); slot += o.Code[slot].Slots() {
		ins := o.Code[slot]
		switch {
		case ins.Op != OpCall:
		case ins.Src == CallHelper:
			if ins.Imm < 0 || int(ins.Imm) >= len(o.Imports) {
				t.Fatalf("slot %d: import %d of %d", slot, ins.Imm, len(o.Imports))
			}
		case ins.Src == CallLocal:
			to := int64(slot) + 1 + int64(ins.Imm)
			if to < 0 || to >= int64(len(o.Code)) || o.Functions[o.FunctionAt(int(to))].Start != int(to) {
				t.Fatalf("slot %d: call of slot %d, where no function starts", slot, to)
			}
		default:
			t.Fatalf("slot %d: call with source %d", slot, ins.Src)
		}
	}
	for _, p := range o.Programs {
		if p.Function < 0 || p.Function >= len(o.Functions) {
			t.Fatalf("program %+v of %d functions", p, len(o.Functions))
		}
	}
	if o.RODataAddr != NullGuard || o.DataAddr%dataAlign != 0 || uint64(o.DataAddr) < NullGuard+uint64(len(o.ROData)) ||
		uint64(o.BSSAddr) < uint64(o.DataAddr)+uint64(len(o.Data)) || uint64(o.End) < uint64(o.BSSAddr)+uint64(o.BSSSize) || o.End > NullGuard+2*MaxGlobals {
		t.Fatalf("addresses: read-only %#x+%#x, data %#x+%#x, bss %#x+%#x, end %#x",
			o.RODataAddr, len(o.ROData), o.DataAddr, len(o.Data), o.BSSAddr, o.BSSSize, o.End)
	}
	for i, l := range o.Lines {
		if l.Slot < 0 || l.Slot >= len(o.Code) || i > 0 && l.Slot <= o.Lines[i-1].Slot || !printable(l.Text) || !printable(l.File) {
			t.Fatalf("line %+v of %d slots", l, len(o.Code))
		}
	}
	for f := range o.Functions {
		if err := o.Disassemble(io.Discard, f, true); err != nil {
			t.Fatal(err)
		}
	}
}

func readObject(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".o")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every byte of an object in turn is another; every length in turn is its
// last.
func TestLoadMutated(t *testing.T) {
	env := cEnv()
	for _, name := range []string{"globals", "meta"} {
		good := readObject(t, name)
		for n := range good {
			if n%7 == 0 {
				loadHostile(t, good[:n], env)
			}
		}
		b := bytes.Clone(good)
		for i := range b {
			for _, v := range []byte{0xff, good[i] + 1} {
				b[i] = v
				loadHostile(t, b, env)
			}
			b[i] = good[i]
		}
	}
}

// The tables of an object with several random changes at once.
func TestLoadScrambled(t *testing.T) {
	env := cEnv()
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{"core", "globals", "calls", "switch", "v4/core"} {
		good := readObject(t, name)
		for range 2000 {
			b := bytes.Clone(good)
			for range 1 + r.IntN(8) {
				switch at := r.IntN(len(b) - 8); r.IntN(4) {
				case 0:
					b[at] = byte(r.Uint32())
				case 1:
					binary.LittleEndian.PutUint32(b[at&^3:], r.Uint32()>>r.IntN(32))
				case 2:
					binary.LittleEndian.PutUint64(b[at&^7:], r.Uint64()>>r.IntN(64))
				case 3:
					n := min(1+r.IntN(24), len(b)-at)
					copy(b[r.IntN(len(b)-n):], good[at:at+n])
				}
			}
			loadHostile(t, b, env)
		}
	}
}

// sectionHeader returns where the header of a section is in an object.
func sectionHeader(t *testing.T, b []byte, name string) int {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Sections {
		if s.Name == name {
			return int(binary.LittleEndian.Uint64(b[40:])) + i*elfSectionSize
		}
	}
	t.Fatalf("no section %q", name)
	return 0
}

func TestLoadMalformed(t *testing.T) {
	le := binary.LittleEndian
	for _, test := range []struct {
		name   string
		object string
		change func(b []byte) []byte
		want   string
	}{
		{"no bytes", "empty", func([]byte) []byte { return nil }, "not an ELF file"},
		{"a header alone", "empty", func(b []byte) []byte { return b[:64] }, "section headers lie outside the file"},
		{"too large", "empty", func(b []byte) []byte { return append(b, make([]byte, MaxObjectSize)...) }, "the file has"},
		{"32 bits", "empty", func(b []byte) []byte { b[elf.EI_CLASS] = 1; return b }, "not a 64-bit ELF file"},
		{"big-endian", "empty", func(b []byte) []byte { b[elf.EI_DATA] = 2; return b }, "big-endian"},
		{"another machine", "empty", func(b []byte) []byte { le.PutUint16(b[18:], 62); return b }, "machine EM_X86_64"},
		{"an executable", "empty", func(b []byte) []byte { le.PutUint16(b[16:], 2); return b }, "not a relocatable"},
		{"no sections", "empty", func(b []byte) []byte { le.PutUint16(b[60:], 0); return b }, "0 sections"},
		{"names outside", "empty", func(b []byte) []byte { le.PutUint16(b[62:], 9999); return b }, "no section of section names"},
		{"half an instruction", "empty", func(b []byte) []byte {
			le.PutUint64(b[sectionHeader(t, b, "test/empty")+32:], 12)
			return b
		}, "12 bytes are no whole number"},
		{"less code than functions", "csum", func(b []byte) []byte {
			le.PutUint64(b[sectionHeader(t, b, "test/csum")+32:], 16)
			return b
		}, `function "csum" lies outside the section`},
		{"code after the function", "empty", func(b []byte) []byte {
			h := sectionHeader(t, b, "test/empty")
			le.PutUint64(b[sectionHeader(t, b, ".BTF")+32:], 0)
			le.PutUint64(b[h+32:], 64)
			return b
		}, "code without a name"},
		{"a huge section of zeroes", "csum", func(b []byte) []byte {
			le.PutUint64(b[sectionHeader(t, b, ".bss")+32:], 1<<40)
			return b
		}, "globals exceed"},
		{"an odd alignment", "csum", func(b []byte) []byte {
			le.PutUint64(b[sectionHeader(t, b, ".bss")+48:], 24)
			return b
		}, "an alignment of 24 bytes"},
		{"shared bytes", "core", func(b []byte) []byte {
			h := sectionHeader(t, b, ".BTF")
			le.PutUint64(b[h+24:], 0)
			le.PutUint64(b[h+32:], uint64(len(b)))
			return b
		}, "sections overlap"},
		{"explicit addends", "core", func(b []byte) []byte {
			le.PutUint32(b[sectionHeader(t, b, ".reltest/core_weak")+4:], uint32(elf.SHT_RELA))
			return b
		}, "explicit addends"},
		{"relocations of nothing", "core", func(b []byte) []byte {
			le.PutUint32(b[sectionHeader(t, b, ".reltest/core_weak")+44:], 5000)
			return b
		}, "which does not exist"},
		{"compressed code", "empty", func(b []byte) []byte {
			b[sectionHeader(t, b, "test/empty")+9] |= byte(elf.SHF_COMPRESSED >> 8)
			return b
		}, "compressed"},
		{"thread-local data", "globals", func(b []byte) []byte {
			b[sectionHeader(t, b, ".data")+9] |= byte(elf.SHF_TLS >> 8)
			return b
		}, "thread-local"},
		{"BTF of another order", "empty", func(b []byte) []byte {
			at := le.Uint64(b[sectionHeader(t, b, ".BTF")+24:])
			b[at], b[at+1] = b[at+1], b[at]
			return b
		}, "no BTF, or of the other byte order"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := test.change(bytes.Clone(readObject(t, test.object)))
			_, err := Load("malformed", b, cEnv())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), recovered) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// Many sections that share one long name must not cost their product.
func TestLoadLongNames(t *testing.T) {
	const sections = 4000
	names := append(bytes.Repeat([]byte("x"), 1<<20), 0)
	b := make([]byte, elfHeaderSize+len(names)+sections*elfSectionSize)
	copy(b, readObject(t, "empty")[:elfHeaderSize])
	copy(b[elfHeaderSize:], names)
	le := binary.LittleEndian
	le.PutUint64(b[40:], uint64(elfHeaderSize+len(names)))
	le.PutUint16(b[60:], sections)
	le.PutUint16(b[62:], 1)
	h := b[elfHeaderSize+len(names)+elfSectionSize:]
	le.PutUint32(h[4:], uint32(elf.SHT_STRTAB))
	le.PutUint64(h[24:], elfHeaderSize)
	le.PutUint64(h[32:], uint64(len(names)))
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := Load("names", b, nil); err == nil || !strings.Contains(err.Error(), "no usable name") {
			t.Errorf("error %v", err)
		}
	})
	if allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range testObjects(f) {
		f.Add(readObject(f, name))
	}
	for _, name := range []string{"field", "function_pointer", "bitfield", "meta_pointer", "maps"} {
		f.Add(readObject(f, "refused/"+name))
	}
	env := cEnv()
	f.Fuzz(func(t *testing.T, b []byte) { loadHostile(t, b, env) })
}
