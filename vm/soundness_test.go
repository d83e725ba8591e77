package vm

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// randomProgram makes a program of arithmetic, comparisons, spills and jumps in both directions over few registers,
// so that the verifier has much to say about it. r1 and r2 stay what they are.
func randomProgram(r *rand.Rand) []Instruction {
	const first, last = 3, 6
	reg := func() uint8 { return first + uint8(r.IntN(last-first+1)) }
	class := func() uint8 { return [...]uint8{ClassALU, ClassALU64, ClassALU64}[r.IntN(3)] }
	small := func() int32 {
		return [...]int32{0, 1, -1, 2, 3, 4, 7, 8, 16, 31, 32, 63, 100, 255, 1500, 0x7fffffff, -0x80000000, int32(r.Uint32())}[r.IntN(18)]
	}
	var code []Instruction
	for n := uint8(first); n <= last; n++ {
		if r.IntN(2) == 0 {
			code = append(code, Instruction{Op: ClassLDX | ModeMEM | SizeDW, Dst: n, Src: R1, Off: int16(8 * n)})
		} else {
			code = append(code, Instruction{Op: OpMov64Imm, Dst: n, Imm: small()})
		}
	}
	code = append(code, Instruction{Op: ClassSTX | ModeMEM | SizeDW, Dst: R10, Src: first, Off: -8})
	length := 6 + r.IntN(20)
	start := len(code)
	alu := []uint8{ALUAdd, ALUAdd, ALUAdd, ALUSub, ALUSub, ALUMul, ALUDiv, ALUOr, ALUAnd, ALUAnd, ALULsh, ALURsh, ALUMod, ALUXor, ALUMov, ALUMov, ALUArsh}
	jumps := []uint8{JmpEQ, JmpGT, JmpGE, JmpSET, JmpNE, JmpSGT, JmpSGE, JmpLT, JmpLE, JmpSLT, JmpSLE}
	for range length {
		i := Instruction{Dst: reg()}
		switch k := r.IntN(20); {
		case k < 10:
			i.Op = class() | alu[r.IntN(len(alu))]
			if r.IntN(3) > 0 {
				i.Imm = small()
			} else {
				i.Op |= SrcX
				i.Src = reg()
			}
			if c := i.Code(); (c == ALUDiv || c == ALUMod) && r.IntN(2) == 0 {
				i.Off = 1
			}
			if i.Code() == ALUMov && i.Source() == SrcX {
				i.Off = [...]int16{0, 0, 8, 16}[r.IntN(4)]
				if i.Class() == ClassALU64 && r.IntN(4) == 0 {
					i.Off = 32
				}
			}
		case k < 11:
			i.Op = class() | ALUNeg
		case k < 12:
			i = Instruction{Op: ClassSTX | ModeMEM | SizeDW, Dst: R10, Src: reg(), Off: -8}
		case k < 13:
			i.Op, i.Src, i.Off = ClassLDX|ModeMEM|SizeDW, R10, -8
		default:
			i.Op = [...]uint8{ClassJMP, ClassJMP32}[r.IntN(2)] | jumps[r.IntN(len(jumps))]
			if r.IntN(3) > 0 {
				i.Imm = small()
			} else {
				i.Op |= SrcX
				i.Src = reg()
			}
			i.Off = int16(start + r.IntN(length) - len(code) - 1)
		}
		code = append(code, i)
	}
	return append(code, Instruction{Op: OpMov64Reg, Dst: R0, Src: reg()}, Instruction{Op: OpExit})
}

// randomLoop makes a loop over r3 with a limit in r4 or a constant, tested before or after the step, with clamps and
// steps of all kinds.
func randomLoop(r *rand.Rand) []Instruction {
	class := func() uint8 { return [...]uint8{ClassALU, ClassALU64, ClassALU64}[r.IntN(3)] }
	jump := func(op uint8, dst uint8, imm int32, off int) Instruction {
		return Instruction{Op: [...]uint8{ClassJMP, ClassJMP, ClassJMP32}[r.IntN(3)] | op, Dst: dst, Imm: imm, Off: int16(off)}
	}
	orders := []uint8{JmpGT, JmpGE, JmpNE, JmpSGT, JmpSGE, JmpLT, JmpLE, JmpSLT, JmpSLE, JmpEQ, JmpNE}
	limits := []int32{0, 1, 2, 10, 16, 100, 256, 1500, -1, -100}
	var code []Instruction
	for n := uint8(3); n <= 5; n++ {
		code = append(code, Instruction{Op: ClassLDX | ModeMEM | SizeDW, Dst: n, Src: R1, Off: int16(8 * n)})
		switch limit := limits[r.IntN(len(limits))]; r.IntN(5) {
		case 0:
			code = append(code, Instruction{Op: OpMov64Imm, Dst: n, Imm: limit})
		case 1:
			code = append(code, Instruction{Op: class() | ALUAnd, Dst: n, Imm: limit})
		case 2:
			code = append(code, jump(orders[r.IntN(len(orders))], n, limit, 1), Instruction{Op: class() | ALUMov, Dst: n, Imm: limit})
		case 3:
			code = append(code, Instruction{Op: OpMov64Reg, Dst: 8, Src: n}, jump(JmpLT, n, limit, 1), Instruction{Op: class() | ALUMov, Dst: 8, Imm: limit},
				jump(orders[r.IntN(len(orders))], n, limits[r.IntN(len(limits))], 0), Instruction{Op: OpMov64Reg, Dst: n, Src: 8})
		}
	}
	if r.IntN(3) == 0 { // a pointer and its end
		code = append(code, Instruction{Op: ClassALU64 | ALUAdd | SrcX, Dst: 4, Src: 3})
	}
	code = append(code, Instruction{Op: OpMov64Imm, Dst: 0})
	test := func(off int) Instruction {
		i := jump(orders[r.IntN(len(orders))], 3, 0, off)
		if r.IntN(2) == 0 {
			i.Imm = limits[r.IntN(len(limits))]
		} else {
			i.Op |= SrcX
			i.Src = 4
			if r.IntN(2) == 0 {
				i.Dst, i.Src = 4, 3
			}
		}
		return i
	}
	head := len(code)
	top := -1
	if r.IntN(2) == 0 {
		top = head
		code = append(code, test(0))
	}
	code = append(code, Instruction{Op: OpAdd64Imm, Dst: 0, Imm: 1})
	steps := []int32{1, 1, 1, 2, 4, 8, 3, -1, -1, -2, -16}
	switch r.IntN(4) {
	case 0: // one of two steps
		code = append(code, jump(JmpSET, 0, 1, 1), Instruction{Op: class() | ALUAdd, Dst: 3, Imm: steps[r.IntN(len(steps))]},
			Instruction{Op: class() | ALUAdd, Dst: 3, Imm: steps[r.IntN(len(steps))]})
	case 1: // a chunk of what is left
		code = append(code, Instruction{Op: OpMov64Reg, Dst: 7, Src: 3}, jump(JmpLT, 3, 16, 1), Instruction{Op: OpMov64Imm, Dst: 7, Imm: 16},
			Instruction{Op: class() | ALUSub | SrcX, Dst: 3, Src: 7})
	default:
		code = append(code, Instruction{Op: class() | ALUAdd, Dst: 3, Imm: steps[r.IntN(len(steps))]})
	}
	if top < 0 || r.IntN(3) == 0 {
		code = append(code, test(0))
		code[len(code)-1].Off = int16(head - len(code))
	} else {
		code = append(code, Instruction{Op: OpJA})
		code[len(code)-1].Off = int16(head - len(code))
	}
	if top >= 0 {
		code[top].Off = int16(len(code) - top - 1)
	}
	return append(code, Instruction{Op: OpExit})
}

// TestSoundness runs random programs and holds what the verifier claimed about them to what happened: the result lies
// in the interval it computed, and no proved program executes more instructions than its bound. More programs with
// PQUIC_SOUNDNESS set to their number.
func TestSoundness(t *testing.T) {
	programs := 3000
	if s := os.Getenv("PQUIC_SOUNDNESS"); s != "" {
		programs, _ = strconv.Atoi(s)
	}
	proved, ended := 0, 0
	for seed := range programs {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		code := randomProgram(r)
		if seed%2 == 0 {
			code = randomLoop(r)
		}
		m, v := verifyForTest(t, code)
		if m == nil {
			continue
		}
		in, err := m.NewInstance(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.report[0].Proved {
			proved++
		}
		for range 4 {
			addr, b := in.Buffer()
			for k := 0; k < 64; k += 8 {
				x := r.Uint64() >> r.IntN(64)
				if r.IntN(4) == 0 {
					x = -x
				}
				binary.LittleEndian.PutUint64(b[k:], x)
			}
			before := in.Stats().Fuel
			got, err := in.Run(&m.programs[0], &Call{Args: [5]uint64{uint64(addr), 64}})
			spent := in.Stats().Fuel - before
			if d := &m.report[0]; d.Proved && (err != nil || spent > d.Bound) {
				t.Fatalf("seed %d: %v after %d instructions, but %s", seed, err, spent, d)
			}
			if err != nil {
				continue
			}
			ended++
			out := &v.funcs[0].out
			if out.t == scalar && (got < out.umin || got > out.umax || int64(got) < out.smin || int64(got) > out.smax) || !v.funcs[0].exits {
				t.Fatalf("seed %d: result %#x, but the verifier said %#x to %#x, %d to %d", seed, got, out.umin, out.umax, out.smin, out.smax)
			}
		}
		in.Close()
		m.Release()
	}
	t.Logf("%d programs, %d proved, %d runs ended", programs, proved, ended)
	if proved < programs/10 {
		t.Error("the programs say nothing")
	}
}

// verifyForTest is Compile that also returns the verifier; nil if the program was refused.
func verifyForTest(t *testing.T, code []Instruction) (*Module, *verifier) {
	o := Raw("random", code)
	opt := Options{Engine: "interp", Fuel: 20000}
	m, err := Compile(o, testEnv(), opt)
	if err != nil {
		return nil, nil
	}
	v := &verifier{object: o, env: testEnv(), opt: opt.withDefaults(), layout: m.layout}
	if err := v.verify(); err != nil {
		t.Fatal(err)
	}
	return m, v
}
