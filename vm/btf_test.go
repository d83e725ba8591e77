package vm

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// hostSpec describes the host of cEnv the way a kernel does.
func hostSpec(t *testing.T) *btf.Spec {
	t.Helper()
	number := func(size uint32, signed bool) btf.Type {
		i := &btf.Int{Name: "u" + string('0'+rune(size)), Size: size}
		if signed {
			i.Name, i.Encoding = "s"+string('0'+rune(size)), btf.Signed
		}
		return i
	}
	structs := map[string]*btf.Struct{}
	for _, k := range cEnv().Kinds {
		structs[k.Name] = &btf.Struct{Name: k.Name, Size: k.Size}
	}
	var types []btf.Type
	for _, k := range cEnv().Kinds {
		s := structs[k.Name]
		var sample *btf.Struct
		for _, f := range k.Fields {
			var typ btf.Type
			switch f.Type {
			case HandleField:
				typ = &btf.Pointer{Target: structs[f.Of]}
			case AddressField:
				typ = &btf.Pointer{Target: number(1, false)}
			case BytesField:
				typ = &btf.Array{Index: number(4, false), Type: number(1, false), Nelems: f.Length}
			default:
				typ = number(uint32(f.Size), f.Signed)
			}
			name, inner, nested := strings.Cut(f.Name, ".")
			if !nested {
				s.Members = append(s.Members, btf.Member{Name: name, Type: typ, Offset: btf.Bits(f.Offset * 8)})
				continue
			}
			if sample == nil {
				sample = new(btf.Struct)
				s.Members = append(s.Members, btf.Member{Name: name, Type: sample, Offset: btf.Bits(f.Offset * 8)})
			}
			start := s.Members[len(s.Members)-1].Offset
			sample.Members = append(sample.Members, btf.Member{Name: inner, Type: typ, Offset: btf.Bits(f.Offset*8) - start})
			sample.Size += uint32(f.Size)
		}
		types = append(types, s)
	}
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// Two independent readers of BTF agree on the source lines and on what CO-RE
// relocations make of an object's instructions.
func TestAgainstCilium(t *testing.T) {
	target := hostSpec(t)
	relocated := 0
	for _, name := range []string{"ack_direct", "alu", "csum", "empty", "mem", "recursion", "v4/alu", "v4/mem"} {
		b, err := os.ReadFile("testdata/" + name + ".o")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		ours := loadTestdata(t, name)
		for _, p := range ours.Programs {
			spec := theirs.Programs[p.Name]
			if spec == nil || spec.SectionName != p.Section {
				t.Errorf("%s: program %q of section %q is not among theirs", name, p.Name, p.Section)
				continue
			}
			f := ours.Functions[p.Function]
			relocated += compareCode(t, ours, f, spec.Instructions, target)
		}
	}
	if relocated < 20 {
		t.Errorf("only %d CO-RE relocations compared", relocated)
	}
}

// compareCode returns how many CO-RE relocations it compared.
func compareCode(t *testing.T, ours *Object, f Function, theirs asm.Instructions, target *btf.Spec) (relocated int) {
	t.Helper()
	slot := f.Start
	var line string
	for i := range theirs {
		ins := theirs[i]
		if i > 0 && ins.Symbol() != "" {
			return relocated // what follows is functions that the program calls
		}
		if relo := btf.CORERelocationMetadata(&ins); relo != nil {
			fixups, err := btf.CORERelocate([]*btf.CORERelocation{relo}, []*btf.Spec{target}, binary.LittleEndian,
				func(btf.Type) (btf.TypeID, error) { return 0, nil })
			if err != nil {
				t.Fatal(err)
			}
			if err := fixups[0].Apply(&ins); err != nil {
				t.Fatal(err)
			}
			relocated++
		}
		if s := ins.Source(); s != nil {
			line = s.String()
		}
		if got, ok := ours.LineAt(slot); !ok || got.Text != strings.TrimLeft(line, " \t") {
			t.Errorf("%s slot %d: line %+v, theirs is %q", f.Name, slot, got, line)
		}
		if !ins.IsFunctionReference() && ins.Reference() == "" {
			var w bytes.Buffer
			if _, err := ins.Marshal(&w, binary.LittleEndian); err != nil {
				t.Fatal(err)
			}
			n := w.Len() / slotSize
			if got := EncodeInstructions(ours.Code[slot : slot+n]); !bytes.Equal(got, w.Bytes()) {
				t.Errorf("%s slot %d: %x, theirs is %x (%v)", f.Name, slot, got, w.Bytes(), ins)
			}
		}
		slot += ours.Code[slot].Slots()
	}
	if slot != f.End {
		t.Errorf("%s ends at slot %d, theirs at %d", f.Name, f.End, slot)
	}
	return relocated
}
