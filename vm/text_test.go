package vm

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The tests' programs are text in the notation of the disassembler, one instruction per line or several separated by
// semicolons. Jumps are "goto +2" in slots, or name a label, "goto out", which a line "out:" defines.

var sizeBits = map[string]uint8{"8": SizeB, "16": SizeH, "32": SizeW, "64": SizeDW}

func invert[K, V comparable](m map[K]V) map[V]K {
	r := make(map[V]K, len(m))
	for k, v := range m {
		r[v] = k
	}
	return r
}

var (
	aluByText  = invert(aluOperators)
	jumpByText = invert(jumpOperators)

	reExtend = regexp.MustCompile(`^([rw])(\d+) = \(s(8|16|32)\)[rw](\d+)$`)
	reNeg    = regexp.MustCompile(`^([rw])(\d+) = -[rw](\d+)$`)
	reSwap   = regexp.MustCompile(`^r(\d+) = (le|be|bswap)(16|32|64) r(\d+)$`)
	reWide   = regexp.MustCompile(`^r(\d+) = (\S+) ll$`)
	reLoad   = regexp.MustCompile(`^r(\d+) = \*\(([us])(8|16|32|64) \*\)\(r(\d+) ([+-]) (\d+)\)$`)
	reStore  = regexp.MustCompile(`^(lock )?\*\(u(8|16|32|64) \*\)\(r(\d+) ([+-]) (\d+)\) (=|\+=|\|=|&=|\^=) (r?)(\S+)$`)
	reFetch  = regexp.MustCompile(`^r(\d+) = (atomic_fetch_add|atomic_fetch_or|atomic_fetch_and|atomic_fetch_xor|xchg|cmpxchg)\(\(u(32|64) \*\)\(r(\d+) ([+-]) (\d+)\), (?:r0, )?r(\d+)\)$`)
	reJump   = regexp.MustCompile(`^if ([rw])(\d+) (\S+) (-?[0-9a-fx]+|[rw]\d+) goto (\S+)$`)
	reALU    = regexp.MustCompile(`^([rw])(\d+) (\S*=) (-?[0-9a-fx]+|[rw]\d+)$`)
)

func register(s string) uint8 {
	n, _ := strconv.Atoi(strings.TrimLeft(s, "rw"))
	return uint8(n)
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		u, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			panic("number " + s)
		}
		return int64(u)
	}
	return n
}

func displacement(sign, digits string) int16 {
	n := number(digits)
	if sign == "-" {
		n = -n
	}
	return int16(n)
}

// assembleLine returns the slots of one instruction and the label it jumps to.
func assembleLine(s string) (code []Instruction, label string, err error) {
	class := func(w string, wide, narrow uint8) uint8 {
		if w == "w" {
			return narrow
		}
		return wide
	}
	one := func(i Instruction) ([]Instruction, string, error) { return []Instruction{i}, "", nil }
	if s == "exit" {
		return one(Instruction{Op: OpExit})
	}
	if s == "call identity" {
		return one(Instruction{Op: OpCall})
	}
	if n, ok := strings.CutPrefix(s, "call #"); ok {
		return one(Instruction{Op: OpCall, Imm: int32(number(n))})
	}
	if l, ok := strings.CutPrefix(s, "call "); ok {
		return []Instruction{{Op: OpCall, Src: CallLocal}}, l, nil
	}
	if l, ok := strings.CutPrefix(s, "goto "); ok {
		return []Instruction{{Op: OpJA}}, l, nil
	}
	if l, ok := strings.CutPrefix(s, "gotol "); ok {
		return []Instruction{{Op: OpJA32}}, l, nil
	}
	if h, ok := strings.CutPrefix(s, "raw "); ok {
		b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
		if err != nil {
			return nil, "", err
		}
		code, err = DecodeInstructions(b)
		return code, "", err
	}
	if m := reExtend.FindStringSubmatch(s); m != nil {
		return one(Instruction{Op: class(m[1], ClassALU64, ClassALU) | ALUMov | SrcX, Dst: register(m[2]), Src: register(m[4]), Off: int16(number(m[3]))})
	}
	if m := reNeg.FindStringSubmatch(s); m != nil {
		return one(Instruction{Op: class(m[1], ClassALU64, ClassALU) | ALUNeg, Dst: register(m[2])})
	}
	if m := reSwap.FindStringSubmatch(s); m != nil {
		op := map[string]uint8{"le": ClassALU | ALUEnd | EndLE, "be": ClassALU | ALUEnd | EndBE, "bswap": ClassALU64 | ALUEnd}[m[2]]
		return one(Instruction{Op: op, Dst: register(m[1]), Imm: int32(number(m[3]))})
	}
	if m := reWide.FindStringSubmatch(s); m != nil {
		w := LoadImm64(register(m[1]), uint64(number(m[2])))
		return w[:], "", nil
	}
	if m := reLoad.FindStringSubmatch(s); m != nil {
		mode := uint8(ModeMEM)
		if m[2] == "s" {
			mode = ModeMEMSX
		}
		return one(Instruction{Op: ClassLDX | mode | sizeBits[m[3]], Dst: register(m[1]), Src: register(m[4]), Off: displacement(m[5], m[6])})
	}
	if m := reFetch.FindStringSubmatch(s); m != nil {
		op := map[string]int32{"xchg": AtomicXchg, "cmpxchg": AtomicCmpXchg, "atomic_fetch_add": AtomicAdd | AtomicFetch,
			"atomic_fetch_or": AtomicOr | AtomicFetch, "atomic_fetch_and": AtomicAnd | AtomicFetch, "atomic_fetch_xor": AtomicXor | AtomicFetch}[m[2]]
		return one(Instruction{Op: ClassSTX | ModeATOMIC | sizeBits[m[3]], Dst: register(m[4]), Src: register(m[7]), Off: displacement(m[5], m[6]), Imm: op})
	}
	if m := reStore.FindStringSubmatch(s); m != nil {
		i := Instruction{Dst: register(m[3]), Off: displacement(m[4], m[5])}
		switch {
		case m[1] != "":
			i.Op, i.Src = ClassSTX|ModeATOMIC|sizeBits[m[2]], register(m[8])
			i.Imm = map[string]int32{"+=": AtomicAdd, "|=": AtomicOr, "&=": AtomicAnd, "^=": AtomicXor}[m[6]]
		case m[7] != "":
			i.Op, i.Src = ClassSTX|ModeMEM|sizeBits[m[2]], register(m[8])
		default:
			i.Op, i.Imm = ClassST|ModeMEM|sizeBits[m[2]], int32(number(m[8]))
		}
		return one(i)
	}
	if m := reJump.FindStringSubmatch(s); m != nil {
		op, ok := jumpByText[m[3]]
		if !ok {
			return nil, "", fmt.Errorf("comparison %q", m[3])
		}
		i := Instruction{Op: class(m[1], ClassJMP, ClassJMP32) | op, Dst: register(m[2])}
		operand(&i, m[4])
		return []Instruction{i}, m[5], nil
	}
	if m := reALU.FindStringSubmatch(s); m != nil {
		operator, signed := m[3], false
		if strings.HasPrefix(operator, "s/") || strings.HasPrefix(operator, "s%") {
			operator, signed = operator[1:], true
		}
		op, ok := aluByText[operator]
		if !ok {
			return nil, "", fmt.Errorf("operator %q", operator)
		}
		i := Instruction{Op: class(m[1], ClassALU64, ClassALU) | op, Dst: register(m[2])}
		if signed {
			i.Off = 1
		}
		operand(&i, m[4])
		return one(i)
	}
	return nil, "", fmt.Errorf("no instruction is written %q", s)
}

// operand sets the second operand of arithmetic or a comparison.
func operand(i *Instruction, s string) {
	if s[0] == 'r' || s[0] == 'w' {
		i.Op |= SrcX
		i.Src = register(s)
		return
	}
	i.Imm = int32(number(s))
}

// assemble translates a program.
func assemble(text string) ([]Instruction, error) {
	var code []Instruction
	labels := make(map[string]int)
	jumps := make(map[int]string)
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		s = strings.Join(strings.Fields(s), " ")
		if l, ok := strings.CutSuffix(s, ":"); ok {
			labels[l] = len(code)
			continue
		}
		if s == "" {
			continue
		}
		c, label, err := assembleLine(s)
		if err != nil {
			return nil, err
		}
		if label != "" {
			jumps[len(code)] = label
		}
		code = append(code, c...)
	}
	for at, label := range jumps {
		var d int
		if label[0] == '+' || label[0] == '-' {
			d = int(number(strings.TrimPrefix(label, "+")))
		} else if t, ok := labels[label]; ok {
			d = t - at - 1
		} else {
			return nil, fmt.Errorf("no label %q", label)
		}
		if op := code[at].Op; op == OpCall || op == OpJA32 {
			code[at].Imm = int32(d)
		} else {
			code[at].Off = int16(d)
		}
	}
	return code, nil
}

// textCase is one program of a file of testdata.
type textCase struct {
	name string
	mem  []byte
	code []Instruction
	want string // what follows "=>"
}

// readCases reads programs: blocks separated by empty lines, of a line "# name", perhaps "mem" and bytes in hex, the
// code, and "=> what happens".
func readCases(t testing.TB, file string) []textCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []textCase
	for block := range strings.SplitSeq(string(text), "\n\n") {
		var c textCase
		var program strings.Builder
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "# "):
				c.name = line[2:]
			case strings.HasPrefix(line, "mem "):
				if c.mem, err = hex.DecodeString(strings.ReplaceAll(line[4:], " ", "")); err != nil {
					t.Fatal(file, c.name, err)
				}
			case strings.HasPrefix(line, "=>"):
				c.want = strings.TrimSpace(line[2:])
			default:
				program.WriteString(line + "\n")
			}
		}
		if c.want == "" {
			continue // a heading
		}
		if c.code, err = assemble(program.String()); err != nil {
			t.Fatal(file, c.name, err)
		}
		list = append(list, c)
	}
	return list
}

// TestAssembler holds the notation of tests and that of the disassembler together.
func TestAssembler(t *testing.T) {
	for _, file := range []string{"testdata/vectors/alu.txt", "testdata/vectors/memory.txt", "testdata/vectors/jumps.txt"} {
		for _, c := range readCases(t, file) {
			for s := 0; s < len(c.code); s += c.code[s].Slots() {
				i := c.code[s]
				if i.IsLoadImm64() || i.Op == OpCall || i.Op == OpJA32 || i.Op == 0 {
					continue
				}
				again, label, err := assembleLine(i.String())
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if label != "" {
					again[0].Off = int16(number(strings.TrimPrefix(label, "+")))
				}
				if again[0] != i {
					t.Errorf("%s: %s is read back as %s", c.name, i, again[0])
				}
			}
		}
	}
}
