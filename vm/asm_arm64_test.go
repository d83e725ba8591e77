//go:build linux && !nojit

package vm

import (
	"encoding/hex"
	"testing"
)

// The expected bytes are what LLVM's assembler makes of the text, so the encoder is held to an assembler it shares
// nothing with.
func TestEncoderARM64(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		emit       func(a *assembler)
	}{
		{"add x0, x1, x2", "2000028b", func(a *assembler) { a.rrr(true, opADD, x0, x1, x2) }},
		{"sub w9, w10, w19", "4901134b", func(a *assembler) { a.rrr(false, opSUB, x9, x10, x19) }},
		{"subs x13, x13, x14", "ad010eeb", func(a *assembler) { a.rrr(true, opSUBS, x13, x13, x14) }},
		{"and w3, w4, w5", "8300050a", func(a *assembler) { a.rrr(false, opAND, x3, x4, x5) }},
		{"tst x3, x4", "7f0004ea", func(a *assembler) { a.rrr(true, opANDS, xzr, x3, x4) }},
		{"orr x25, x24, x23", "190317aa", func(a *assembler) { a.rrr(true, opORR, x25, x24, x23) }},
		{"eor w0, w0, w1", "0000014a", func(a *assembler) { a.rrr(false, opEOR, x0, x0, x1) }},
		{"udiv x0, x1, x2", "2008c29a", func(a *assembler) { a.rrr(true, opUDIV, x0, x1, x2) }},
		{"sdiv w0, w1, w2", "200cc21a", func(a *assembler) { a.rrr(false, opSDIV, x0, x1, x2) }},
		{"lsl x0, x1, x2", "2020c29a", func(a *assembler) { a.rrr(true, opLSLV, x0, x1, x2) }},
		{"lsr w0, w1, w2", "2024c21a", func(a *assembler) { a.rrr(false, opLSRV, x0, x1, x2) }},
		{"asr x0, x1, x2", "2028c29a", func(a *assembler) { a.rrr(true, opASRV, x0, x1, x2) }},
		{"mul x0, x1, x2", "207c029b", func(a *assembler) { a.rrr(true, opMUL, x0, x1, x2) }},
		{"msub x0, x1, x2, x3", "208c029b", func(a *assembler) { a.msub(true, x0, x1, x2, x3) }},
		{"mov w7, w8", "e703082a", func(a *assembler) { a.mov(false, x7, x8) }},
		{"mov x7, xzr", "e7031faa", func(a *assembler) { a.clear(x7) }},
		{"neg x5, x5", "e50305cb", func(a *assembler) { a.rrr(true, opSUB, x5, xzr, x5) }},
		{"cmp x1, x2", "3f0002eb", func(a *assembler) { a.compare(true, x1, x2) }},
		{"mov x1, #0", "010080d2", func(a *assembler) { a.movImm(x1, 0) }},
		{"movz x1, #0x1234, lsl #16", "8146a2d2", func(a *assembler) { a.movImm(x1, 0x12340000) }},
		{"mov x1, #-1", "01008092", func(a *assembler) { a.movImm(x1, ^uint64(0)) }},
		{"mov x1, #-2", "21008092", func(a *assembler) { a.movImm(x1, ^uint64(1)) }},
		{"movn x1, #0x7fff, lsl #16", "e1ffaf92", func(a *assembler) { a.movImm(x1, 0xffffffff8000ffff) }},
		{"add x0, x1, #4095", "20fc3f91", func(a *assembler) { a.arithImm(true, opADD, x0, x1, 4095) }},
		{"sub w0, w1, #4096", "20044051", func(a *assembler) { a.arithImm(false, opSUB, x0, x1, 4096) }},
		{"subs x13, x13, #17", "ad4500f1", func(a *assembler) { a.arithImm(true, opSUBS, x13, x13, 17) }},
		{"cmp w3, #0", "7f000071", func(a *assembler) { a.arithImm(false, opSUBS, xzr, x3, 0) }},
		{"and x0, x1, #0xff", "201c4092", func(a *assembler) { a.logicalImm(true, opAND, x0, x1, 0xff) }},
		{"and w0, w1, #0xfffffff0", "206c1c12", func(a *assembler) { a.logicalImm(false, opAND, x0, x1, 0xfffffff0) }},
		{"orr x0, x1, #0x5555555555555555", "20f000b2", func(a *assembler) { a.logicalImm(true, opORR, x0, x1, 0x5555555555555555) }},
		{"eor x0, x1, #0x8000000000000001", "200441d2", func(a *assembler) { a.logicalImm(true, opEOR, x0, x1, 0x8000000000000001) }},
		{"tst x1, #0x00ff00ff00ff00ff", "3f9c00f2", func(a *assembler) { a.logicalImm(true, opANDS, xzr, x1, 0x00ff00ff00ff00ff) }},
		{"and x2, x3, #0xffffffffffff0fff", "62ec7092", func(a *assembler) { a.logicalImm(true, opAND, x2, x3, 0xffffffffffff0fff) }},
		{"eor w2, w3, #0x80000000", "62000152", func(a *assembler) { a.logicalImm(false, opEOR, x2, x3, 0x80000000) }},
		{"lsl x0, x1, #13", "20c873d3", func(a *assembler) { a.lslImm(true, x0, x1, 13) }},
		{"lsl w0, w1, #31", "20000153", func(a *assembler) { a.lslImm(false, x0, x1, 31) }},
		{"lsl w0, w1, #0", "207c0053", func(a *assembler) { a.lslImm(false, x0, x1, 0) }},
		{"lsr x0, x1, #63", "20fc7fd3", func(a *assembler) { a.shrImm(true, false, x0, x1, 63) }},
		{"asr w0, w1, #7", "207c0713", func(a *assembler) { a.shrImm(false, true, x0, x1, 7) }},
		{"sxtb x0, w1", "201c4093", func(a *assembler) { a.bitfield(true, true, x0, x1, 0, 7) }},
		{"sxth w0, w1", "203c0013", func(a *assembler) { a.bitfield(false, true, x0, x1, 0, 15) }},
		{"sxtw x0, w1", "207c4093", func(a *assembler) { a.bitfield(true, true, x0, x1, 0, 31) }},
		{"uxth w0, w1", "203c0053", func(a *assembler) { a.bitfield(false, false, x0, x1, 0, 15) }},
		{"rev16 w3, w3", "6304c05a", func(a *assembler) { a.rev16(x3) }},
		{"rev w3, w3", "6308c05a", func(a *assembler) { a.rev32(x3) }},
		{"rev x3, x3", "630cc0da", func(a *assembler) { a.rev64(x3) }},
		{"csel x0, x1, xzr, ne", "20109f9a", func(a *assembler) { a.csel(condNE, x0, x1, xzr) }},
		{"ldr x0, [x11, #104]", "603540f9", func(a *assembler) { a.load(x0, memAt(x11, 104)) }},
		{"ldur x0, [x11, #-128]", "600158f8", func(a *assembler) { a.load(x0, memAt(x11, -128)) }},
		{"ldur x0, [x11, #9]", "609140f8", func(a *assembler) { a.load(x0, memAt(x11, 9)) }},
		{"str x0, [x11, #32760]", "60fd3ff9", func(a *assembler) { a.store(memAt(x11, 32760), x0) }},
		{"ldr x0, [x12, x14]", "80696ef8", func(a *assembler) { a.load(x0, memAtIndex(x12, x14)) }},
		{"str w0, [x12, x14]", "80692eb8", func(a *assembler) { a.access(accessStore, 4, x0, memAtIndex(x12, x14)) }},
		{"strb w0, [x12, x14]", "80692e38", func(a *assembler) { a.access(accessStore, 1, x0, memAtIndex(x12, x14)) }},
		{"strh w0, [x12, #2]", "80050079", func(a *assembler) { a.access(accessStore, 2, x0, memAt(x12, 2)) }},
		{"sturh w0, [x12, #-1]", "80f11f78", func(a *assembler) { a.access(accessStore, 2, x0, memAt(x12, -1)) }},
		{"ldrb w0, [x12, #4095]", "80fd7f39", func(a *assembler) { a.access(accessLoad, 1, x0, memAt(x12, 4095)) }},
		{"ldrsb x0, [x12, x14]", "8069ae38", func(a *assembler) { a.access(accessLoadSigned, 1, x0, memAtIndex(x12, x14)) }},
		{"ldrsh x0, [x12, #6]", "800d8079", func(a *assembler) { a.access(accessLoadSigned, 2, x0, memAt(x12, 6)) }},
		{"ldursw x0, [x12, #-4]", "80c19fb8", func(a *assembler) { a.access(accessLoadSigned, 4, x0, memAt(x12, -4)) }},
		{"ret", "c0035fd6", func(a *assembler) { a.ret() }},
		{"br x14", "c0011fd6", func(a *assembler) { a.br(x14) }},
		{"brk #0", "000020d4", func(a *assembler) { a.trap() }},
		{"nop", "1f2003d5", func(a *assembler) { a.noop() }},
	} {
		var a assembler
		tc.emit(&a)
		if got := hex.EncodeToString(a.code); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.text, got, tc.want)
		}
	}
}

func TestEncoderJumpsARM64(t *testing.T) {
	var a assembler
	back, ahead := a.bound(), a.newLabel()
	a.jcc(condNE, ahead)
	a.jmp(back)
	a.adr(x9, ahead)
	a.cbz(false, x3, back)
	a.cbnz(true, x3, ahead)
	a.jmp(ahead)
	a.bind(ahead)
	a.ret()
	if err := a.link(); err != nil {
		t.Fatal(err)
	}
	const want = "c1000054ffffff1789000010a3ffff34430000b501000014c0035fd6"
	if got := hex.EncodeToString(a.code); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Every constant that the encoder takes for a logical immediate must mean itself.
func TestBitmaskARM64(t *testing.T) {
	n := 0
	for size := 2; size <= 64; size *= 2 {
		for ones := 1; ones < size; ones++ {
			for rot := range size {
				mask := ^uint64(0) >> (64 - size)
				run := uint64(1)<<ones - 1
				e := (run>>rot | run<<(size-rot)) & mask
				v := e
				for s := size; s < 64; s *= 2 {
					v |= v << s
				}
				enc, ok := bitmask(true, v)
				if !ok || decodeBitmask(enc) != v {
					t.Fatalf("%#x: %#x %v", v, enc, ok)
				}
				n++
			}
		}
	}
	if n != 5334 {
		t.Errorf("%d immediates, the architecture has 5334", n)
	}
	for _, v := range []uint64{0, ^uint64(0), 5, 0x1234, 0xff00ff01} {
		if _, ok := bitmask(true, v); ok {
			t.Errorf("%#x has no encoding", v)
		}
	}
}

// decodeBitmask follows the pseudocode DecodeBitMasks of the manual.
func decodeBitmask(enc uint32) uint64 {
	n, immr, imms := enc>>12&1, enc>>6&63, enc&63
	size := uint32(64)
	if n == 0 {
		for size = 32; imms&size != 0; size /= 2 {
		}
	}
	s, r := imms&(size-1), immr&(size-1)
	v := uint64(1)<<(s+1) - 1
	mask := ^uint64(0) >> (64 - size)
	v = (v>>r | v<<(size-r)) & mask
	for k := size; k < 64; k *= 2 {
		v |= v << k
	}
	return v
}
