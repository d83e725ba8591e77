//go:build linux && !nojit

package vm

import (
	"encoding/hex"
	"testing"
)

// The expected bytes are what GNU as makes of the text, so the encoder is held
// to an assembler it shares nothing with.
func TestEncoderAMD64(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		emit       func(a *assembler)
	}{
		{"add rax, r9", "4c01c8", func(a *assembler) { a.rr(true, opAddStore, rax, r9) }},
		{"add eax, edi", "01f8", func(a *assembler) { a.rr(false, opAddStore, rax, rdi) }},
		{"sub r13, rbx", "4929dd", func(a *assembler) { a.rr(true, opSubStore, r13, rbx) }},
		{"xor r8d, r15d", "4531f8", func(a *assembler) { a.rr(false, opXorStore, r8, r15) }},
		{"and rsi, rdx", "4821d6", func(a *assembler) { a.rr(true, opAndStore, rsi, rdx) }},
		{"or r12, r14", "4d09f4", func(a *assembler) { a.rr(true, opOrStore, r12, r14) }},
		{"cmp rdi, r10", "4c39d7", func(a *assembler) { a.rr(true, opCmpStore, rdi, r10) }},
		{"test edx, edx", "85d2", func(a *assembler) { a.rr(false, opTest, rdx, rdx) }},
		{"mov r15, rax", "4989c7", func(a *assembler) { a.mov(r15, rax) }},
		{"mov eax, r15d", "4489f8", func(a *assembler) { a.mov32(rax, r15) }},
		{"imul rdx, r9", "490fafd1", func(a *assembler) { a.rr(true, opImul, r9, rdx) }},
		{"imul eax, ebx, 100", "6bc364", func(a *assembler) { a.imulImm(false, rax, rbx, 100) }},
		{"imul r13, rdi, 1000", "4c69efe8030000", func(a *assembler) { a.imulImm(true, r13, rdi, 1000) }},
		{"add rcx, 127", "4883c17f", func(a *assembler) { a.group1(true, extAdd, rcx, 127) }},
		{"add r9, 128", "4981c180000000", func(a *assembler) { a.group1(true, extAdd, r9, 128) }},
		{"sub r10d, -128", "4183ea80", func(a *assembler) { a.group1(false, extSub, r10, -128) }},
		{"cmp rdi, -129", "4881ff7fffffff", func(a *assembler) { a.group1(true, extCmp, rdi, -129) }},
		{"and esi, 0x7fffffff", "81e6ffffff7f", func(a *assembler) { a.group1(false, extAnd, rsi, 0x7fffffff) }},
		{"cmp ecx, [r11+0x58]", "413b4b58", func(a *assembler) { a.rm(false, opCmpLoad, rcx, memAt(r11, 0x58)) }},
		{"sub rcx, [r11+0x158]", "492b8b58010000", func(a *assembler) { a.rm(true, opSubLoad, rcx, memAt(r11, 0x158)) }},
		{"sub qword ptr [r11+0x58], 3", "49836b5803", func(a *assembler) { a.group1Mem(true, extSub, memAt(r11, 0x58), 3) }},
		{"add dword ptr [r12+rcx*1+4096], 300", "4181840c001000002c010000", func(a *assembler) { a.group1Mem(false, extAdd, memAtIndex(r12, rcx, 4096), 300) }},
		{"test r8, 256", "49f7c000010000", func(a *assembler) { a.testImm(true, r8, 256) }},
		{"test ebx, -2", "f7c3feffffff", func(a *assembler) { a.testImm(false, rbx, -2) }},
		{"mov rax, [r12+rdi*1]", "498b043c", func(a *assembler) { a.load(rax, memAtIndex(r12, rdi, 0)) }},
		{"mov rax, [r12+rdi*1+8]", "498b443c08", func(a *assembler) { a.load(rax, memAtIndex(r12, rdi, 8)) }},
		{"mov rax, [r13+r14*8+4096]", "4b8b84f500100000", func(a *assembler) { a.load(rax, memOperand{r13, r14, 3, 4096}) }},
		{"mov rax, [r13]", "498b4500", func(a *assembler) { a.load(rax, memAt(r13, 0)) }},
		{"mov r9, [r12]", "4d8b0c24", func(a *assembler) { a.load(r9, memAt(r12, 0)) }},
		{"mov r9, [rsp+8]", "4c8b4c2408", func(a *assembler) { a.load(r9, memAt(rsp, 8)) }},
		{"mov rcx, [r11-512]", "498b8b00feffff", func(a *assembler) { a.load(rcx, memAt(r11, -512)) }},
		{"mov [r12+rcx*1+4096], r15", "4d89bc0c00100000", func(a *assembler) { a.store(memAtIndex(r12, rcx, 4096), r15) }},
		{"mov dword ptr [r11+96], 7", "41c7436007000000", func(a *assembler) { a.storeImm32(false, memAt(r11, 96), 7) }},
		{"mov qword ptr [r11+96], -7", "49c74360f9ffffff", func(a *assembler) { a.storeImm32(true, memAt(r11, 96), -7) }},
		{"mov word ptr [r12+rsi*1-4], 0x1234", "6641c74434fc3412", func(a *assembler) { a.storeImm16(memAtIndex(r12, rsi, -4), 0x1234) }},
		{"mov byte ptr [r12+rsi*1-4], 0x7f", "41c64434fc7f", func(a *assembler) { a.storeImm8(memAtIndex(r12, rsi, -4), 0x7f) }},
		{"mov byte ptr [r12+rcx*1], sil", "4188340c", func(a *assembler) { a.rm(false, opMovStore8, rsi, memAtIndex(r12, rcx, 0)) }},
		{"mov byte ptr [r12+rcx*1], al", "4188040c", func(a *assembler) { a.rm(false, opMovStore8, rax, memAtIndex(r12, rcx, 0)) }},
		{"mov word ptr [r12+rcx*1], r9w", "6645890c0c", func(a *assembler) { a.rm(false, opMovStoreW, r9, memAtIndex(r12, rcx, 0)) }},
		{"movzx eax, byte ptr [r12+rcx*1+1]", "410fb6440c01", func(a *assembler) { a.rm(false, opMovzx8, rax, memAtIndex(r12, rcx, 1)) }},
		{"movzx edi, sil", "400fb6fe", func(a *assembler) { a.rr(false, opMovzx8, rsi, rdi) }},
		{"movzx edi, ax", "0fb7f8", func(a *assembler) { a.rr(false, opMovzx16, rax, rdi) }},
		{"movsx rdi, sil", "480fbefe", func(a *assembler) { a.rr(true, opMovsx8, rsi, rdi) }},
		{"movsx r8d, cx", "440fbfc1", func(a *assembler) { a.rr(false, opMovsx16, rcx, r8) }},
		{"movsx rax, word ptr [rbx+2]", "480fbf4302", func(a *assembler) { a.rm(true, opMovsx16, rax, memAt(rbx, 2)) }},
		{"movsxd r15, eax", "4c63f8", func(a *assembler) { a.rr(true, opMovsxd, rax, r15) }},
		{"movsxd r15, dword ptr [r12+rcx]", "4d633c0c", func(a *assembler) { a.rm(true, opMovsxd, r15, memAtIndex(r12, rcx, 0)) }},
		{"lea rcx, [rdi-4096]", "488d8f00f0ffff", func(a *assembler) { a.rm(true, opLea, rcx, memAt(rdi, -4096)) }},
		{"lea ecx, [r13+rax*1+5]", "418d4c0505", func(a *assembler) { a.rm(false, opLea, rcx, memAtIndex(r13, rax, 5)) }},
		{"mov eax, 0xffffffff", "b8ffffffff", func(a *assembler) { a.movImm(rax, 0xffffffff) }},
		{"mov r9d, 5", "41b905000000", func(a *assembler) { a.movImm(r9, 5) }},
		{"mov rdx, -1", "48c7c2ffffffff", func(a *assembler) { a.movImm(rdx, ^uint64(0)) }},
		{"mov r14, -2147483648", "49c7c600000080", func(a *assembler) { a.movImm(r14, 0xffffffff80000000) }},
		{"movabs r14, 0x1122334455667788", "49be8877665544332211", func(a *assembler) { a.movImm(r14, 0x1122334455667788) }},
		{"shl rax, 5", "48c1e005", func(a *assembler) { a.shiftImm(true, extShl, rax, 5) }},
		{"shr r9d, 31", "41c1e91f", func(a *assembler) { a.shiftImm(false, extShr, r9, 31) }},
		{"sar rbx, 63", "48c1fb3f", func(a *assembler) { a.shiftImm(true, extSar, rbx, 63) }},
		{"shl rax, cl", "48d3e0", func(a *assembler) { a.rx(true, opShiftCL, extShl, rax) }},
		{"sar r8d, cl", "41d3f8", func(a *assembler) { a.rx(false, opShiftCL, extSar, r8) }},
		{"rol r9w, 8", "6641c1c108", func(a *assembler) { a.rol16(r9, 8) }},
		{"shlx rax, rdi, r9", "c4e2b1f7c7", func(a *assembler) { a.shiftX(true, extShl, rax, rdi, r9) }},
		{"shrx r13d, r14d, ecx", "c44273f7ee", func(a *assembler) { a.shiftX(false, extShr, r13, r14, rcx) }},
		{"sarx rsi, r15, rax", "c4c2faf7f7", func(a *assembler) { a.shiftX(true, extSar, rsi, r15, rax) }},
		{"neg rdi", "48f7df", func(a *assembler) { a.rx(true, opUnary, extNeg, rdi) }},
		{"mul r9", "49f7e1", func(a *assembler) { a.rx(true, opUnary, extMul, r9) }},
		{"div rcx", "48f7f1", func(a *assembler) { a.rx(true, opUnary, extDiv, rcx) }},
		{"idiv ecx", "f7f9", func(a *assembler) { a.rx(false, opUnary, extIdiv, rcx) }},
		{"cqo", "4899", func(a *assembler) { a.signExtendA(true) }},
		{"cdq", "99", func(a *assembler) { a.signExtendA(false) }},
		{"bswap r10", "490fca", func(a *assembler) { a.bswap(true, r10) }},
		{"bswap ecx", "0fc9", func(a *assembler) { a.bswap(false, rcx) }},
		{"xchg [r12+rcx*1], rdi", "49873c0c", func(a *assembler) { a.rm(true, opXchg, rdi, memAtIndex(r12, rcx, 0)) }},
		{"xadd [r12+rcx*1+16], r9d", "450fc14c0c10", func(a *assembler) { a.rm(false, opXadd, r9, memAtIndex(r12, rcx, 16)) }},
		{"cmpxchg [r12+rcx*1], rdx", "490fb1140c", func(a *assembler) { a.rm(true, opCmpxchg, rdx, memAtIndex(r12, rcx, 0)) }},
		{"and [r12+rcx*1], r8", "4d21040c", func(a *assembler) { a.rm(true, opAndStore, r8, memAtIndex(r12, rcx, 0)) }},
		{"jmp [r11+120]", "41ff6378", func(a *assembler) { a.jmpMem(memAt(r11, 120)) }},
		{"jmp [r11+rcx*1+264]", "41ffa40b08010000", func(a *assembler) { a.jmpMem(memAtIndex(r11, rcx, 264)) }},
		{"ret", "c3", func(a *assembler) { a.ret() }},
		{"xor r8d, r8d", "4531c0", func(a *assembler) { a.zero(r8) }},
	} {
		var a assembler
		tc.emit(&a)
		if got := hex.EncodeToString(a.code); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.text, got, tc.want)
		}
	}
}

func TestEncoderJumpsAMD64(t *testing.T) {
	var a assembler
	back, ahead := a.newLabel(), a.newLabel()
	a.bind(back)
	a.jcc(condNE, ahead)  // 0f85 to 0x1c
	a.jmp(back)           // ebf8
	a.leaLabel(r9, ahead) // 4c8d0d to 0x1c
	a.align(16)
	s := a.skip(condE) // 7405
	a.jmp(ahead)       // e9 to 0x1c
	a.land(s)
	a.jcc(condA, back)
	a.emit(nops[3]...)
	a.bind(ahead)
	a.ret()
	a.link()
	const want = "0f8516000000" + "ebf8" + "4c8d0d0d000000" + "90" + "7405" + "e905000000" + "77e7" + "0f1f00" + "c3"
	if got := hex.EncodeToString(a.code); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
