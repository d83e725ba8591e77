package vm

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// RFC 9669, section 3.1: the encoding of one instruction.
func TestInstructionEncoding(t *testing.T) {
	for _, test := range []struct {
		ins  Instruction
		want []byte
	}{
		{Instruction{Op: 0x07, Dst: 1, Imm: 0x11223344}, []byte{0x07, 0x01, 0, 0, 0x44, 0x33, 0x22, 0x11}},
		{Instruction{Op: 0x7b, Dst: 10, Src: 2, Off: -8}, []byte{0x7b, 0x2a, 0xf8, 0xff, 0, 0, 0, 0}},
		{Instruction{Op: 0x85, Src: 1, Imm: -1}, []byte{0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff}},
	} {
		got := test.ins.Append(nil)
		if !bytes.Equal(got, test.want) {
			t.Errorf("%+v: %x, want %x", test.ins, got, test.want)
		}
		if back := DecodeInstruction(got); back != test.ins {
			t.Errorf("%x: %+v, want %+v", got, back, test.ins)
		}
	}
}

// Every 8 bytes are an instruction with the same encoding, and every
// instruction can be printed.
func TestInstructionRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 8*4096)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	code, err := DecodeInstructions(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(EncodeInstructions(code), b) {
		t.Error("instructions change when they are decoded and encoded")
	}
	for _, ins := range code {
		if ins.String() == "" {
			t.Errorf("%+v prints as nothing", ins)
		}
	}
	if _, err := DecodeInstructions(b[:9]); err == nil {
		t.Error("9 bytes were decoded")
	}
}

func TestLoadImm64(t *testing.T) {
	for _, v := range []uint64{0, 1, 0xffffffff, 0x100000000, 0x8000000080000000, ^uint64(0)} {
		pair := LoadImm64(3, v)
		if got := imm64(pair[0], pair[1]); got != v {
			t.Errorf("%#x became %#x", v, got)
		}
	}
}

// One instruction of each form, as RFC 9669 and llvm-objdump write it.
func TestInstructionString(t *testing.T) {
	for _, test := range []struct {
		ins  Instruction
		want string
	}{
		{Instruction{Op: ClassALU64 | ALUAdd | SrcX, Dst: 1, Src: 2}, "r1 += r2"},
		{Instruction{Op: ClassALU64 | ALUSub, Dst: 1, Imm: -7}, "r1 -= -7"},
		{Instruction{Op: ClassALU | ALUMul | SrcX, Dst: 1, Src: 2}, "w1 *= w2"},
		{Instruction{Op: ClassALU64 | ALUDiv, Dst: 3, Imm: 4}, "r3 /= 4"},
		{Instruction{Op: ClassALU64 | ALUDiv | SrcX, Dst: 3, Src: 4, Off: 1}, "r3 s/= r4"},
		{Instruction{Op: ClassALU | ALUMod, Dst: 3, Imm: 4, Off: 1}, "w3 s%= 4"},
		{Instruction{Op: ClassALU64 | ALUOr, Dst: 3, Imm: 4}, "r3 |= 4"},
		{Instruction{Op: ClassALU64 | ALUAnd, Dst: 3, Imm: 4}, "r3 &= 4"},
		{Instruction{Op: ClassALU64 | ALULsh, Dst: 3, Imm: 4}, "r3 <<= 4"},
		{Instruction{Op: ClassALU64 | ALURsh, Dst: 3, Imm: 4}, "r3 >>= 4"},
		{Instruction{Op: ClassALU | ALUArsh, Dst: 3, Imm: 4}, "w3 s>>= 4"},
		{Instruction{Op: ClassALU64 | ALUXor, Dst: 3, Imm: 4}, "r3 ^= 4"},
		{Instruction{Op: ClassALU64 | ALUNeg, Dst: 3}, "r3 = -r3"},
		{Instruction{Op: OpMov64Imm, Dst: 3, Imm: 4}, "r3 = 4"},
		{Instruction{Op: OpMov32Reg, Dst: 3, Src: 4}, "w3 = w4"},
		{Instruction{Op: OpMov64Reg, Dst: 3, Src: 4, Off: 32}, "r3 = (s32)r4"},
		{Instruction{Op: OpMov32Reg, Dst: 3, Src: 4, Off: 8}, "w3 = (s8)w4"},
		{Instruction{Op: ClassALU | ALUEnd | EndLE, Dst: 3, Imm: 16}, "r3 = le16 r3"},
		{Instruction{Op: ClassALU | ALUEnd | EndBE, Dst: 3, Imm: 64}, "r3 = be64 r3"},
		{Instruction{Op: ClassALU64 | ALUEnd, Dst: 3, Imm: 32}, "r3 = bswap32 r3"},
		{Instruction{Op: ClassLDX | ModeMEM | SizeW, Dst: 3, Src: 4, Off: 12}, "r3 = *(u32 *)(r4 + 12)"},
		{Instruction{Op: ClassLDX | ModeMEMSX | SizeB, Dst: 3, Src: 4, Off: -12}, "r3 = *(s8 *)(r4 - 12)"},
		{Instruction{Op: ClassST | ModeMEM | SizeDW, Dst: 10, Off: -32768, Imm: 5}, "*(u64 *)(r10 - 32768) = 5"},
		{Instruction{Op: ClassSTX | ModeMEM | SizeH, Dst: 10, Src: 1, Off: -8}, "*(u16 *)(r10 - 8) = r1"},
		{Instruction{Op: OpAtomic64, Dst: 1, Src: 2, Imm: AtomicAdd}, "lock *(u64 *)(r1 + 0) += r2"},
		{Instruction{Op: OpAtomic32, Dst: 1, Src: 2, Off: 4, Imm: AtomicXor | AtomicFetch}, "r2 = atomic_fetch_xor((u32 *)(r1 + 4), r2)"},
		{Instruction{Op: OpAtomic64, Dst: 1, Src: 2, Imm: AtomicXchg}, "r2 = xchg((u64 *)(r1 + 0), r2)"},
		{Instruction{Op: OpAtomic32, Dst: 1, Src: 2, Imm: AtomicCmpXchg}, "r0 = cmpxchg((u32 *)(r1 + 0), r0, r2)"},
		{Instruction{Op: OpJA, Off: 5}, "goto +5"},
		{Instruction{Op: OpJA32, Imm: -70000}, "goto -70000"},
		{Instruction{Op: ClassJMP | JmpEQ, Dst: 1, Off: 1, Imm: 2}, "if r1 == 2 goto +1"},
		{Instruction{Op: ClassJMP | JmpSET | SrcX, Dst: 1, Src: 2, Off: -1}, "if r1 & r2 goto -1"},
		{Instruction{Op: ClassJMP32 | JmpSLE | SrcX, Dst: 1, Src: 2, Off: 3}, "if w1 s<= w2 goto +3"},
		{Instruction{Op: OpCall, Src: CallLocal, Imm: -3}, "call -3"},
		{Instruction{Op: OpCall, Imm: 2}, "call #2"},
		{Instruction{Op: OpCallX, Dst: 5}, "callx r5"},
		{Instruction{Op: OpExit}, "exit"},
		{LoadImm64(2, 0x1122334455667788)[0], "r2 = 0x55667788 ll"},
		{Instruction{Op: ClassLD | ModeABS | SizeW, Imm: 4}, "(opcode 0x20 dst 0 src 0 off 0 imm 4)"},
		{Instruction{Op: ClassALU64 | 0xe0}, "(opcode 0xe7 dst 0 src 0 off 0 imm 0)"},
		{Instruction{Op: ClassJMP | 0xf0}, "(opcode 0xf5 dst 0 src 0 off 0 imm 0)"},
		{Instruction{Op: OpAtomic64, Imm: 0x30}, "(opcode 0xdb dst 0 src 0 off 0 imm 48)"},
	} {
		if got := test.ins.String(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.ins, got, test.want)
		}
	}
}

func TestFunctionAt(t *testing.T) {
	o := &Object{Functions: []Function{{Start: 0, End: 3}, {Start: 3, End: 4}, {Start: 4, End: 9}}}
	var got []int
	for slot := -1; slot <= 9; slot++ {
		got = append(got, o.FunctionAt(slot))
	}
	if want := []int{-1, 0, 0, 0, 1, 2, 2, 2, 2, 2, -1}; !slices.Equal(got, want) {
		t.Errorf("functions %v, want %v", got, want)
	}
}
