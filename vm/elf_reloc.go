package vm

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Relocation types of BPF objects. The addend is in the place itself.
//
// https://docs.kernel.org/bpf/llvm_reloc.html
const (
	relocNone      = 0
	relocImm64     = 1  // R_BPF_64_64: a 64-bit immediate load
	relocAbs64     = 2  // R_BPF_64_ABS64: 8 bytes of data
	relocAbs32     = 3  // R_BPF_64_ABS32: 4 bytes of data
	relocNoDyld32  = 4  // R_BPF_64_NODYLD32: 4 bytes of debug information
	relocCall      = 10 // R_BPF_64_32: a call
	importPresence = 1  // what the address of a host function reads as
)

var relocNames = map[uint32]string{
	relocImm64: "R_BPF_64_64", relocAbs64: "R_BPF_64_ABS64", relocAbs32: "R_BPF_64_ABS32",
	relocNoDyld32: "R_BPF_64_NODYLD32", relocCall: "R_BPF_64_32",
}

// A reloc is one entry of a relocation section.
type reloc struct {
	offset uint64 // in the section concerned
	typ    uint32
	sym    *elfSymbol
}

// eachReloc calls fn for the relocations of all sections whose use is wanted.
func (l *loader) eachReloc(wanted func(sectionUse) bool, fn func(section int, r reloc) error) error {
	for i := range l.sections {
		s := &l.sections[i]
		if s.typ != elf.SHT_REL && s.typ != elf.SHT_RELA {
			continue
		}
		if int64(s.info) >= int64(len(l.sections)) {
			return l.errorf(s.name, "relocations of section %d, which does not exist", s.info)
		}
		if !wanted(l.places[s.info].use) {
			continue
		}
		target := &l.sections[s.info]
		if s.typ == elf.SHT_RELA {
			return l.errorf(target.name, "relocations with explicit addends are not supported")
		}
		for b := s.data; len(b) >= elfRelSize; b = b[elfRelSize:] {
			r := reloc{offset: binary.LittleEndian.Uint64(b)}
			info := binary.LittleEndian.Uint64(b[8:])
			r.typ = uint32(info)
			if info>>32 >= uint64(len(l.symbols)) {
				return l.errorf(target.name, "relocation at byte %d of symbol %d, which does not exist", r.offset, info>>32)
			}
			r.sym = &l.symbols[info>>32]
			if r.typ == relocNone {
				continue
			}
			if err := fn(int(s.info), r); err != nil {
				return err
			}
		}
	}
	return nil
}

// relocateData fills the pointers inside of initialised data. Metadata is kept
// raw, so a pointer in it would silently read as an offset.
func (l *loader) relocateData() error {
	wanted := func(u sectionUse) bool { return u.isData() || u == useMeta }
	return l.eachReloc(wanted, func(section int, r reloc) error {
		s := &l.sections[section]
		if l.places[section].use == useMeta {
			return l.dataError(section, r, "metadata holds a pointer to %q: it has to be plain bytes", r.sym.name)
		}
		width := uint64(8)
		switch r.typ {
		case relocAbs64:
		case relocAbs32:
			width = 4
		default:
			return l.dataError(section, r, "relocation %s of %q is not possible in data", relocName(r.typ), r.sym.name)
		}
		data := l.contents(section)
		if !inside(r.offset, width, len(data)) {
			return l.errorf(s.name, "relocation at byte %d lies outside the section", r.offset)
		}
		b := data[r.offset:]
		addend := int64(int32(binary.LittleEndian.Uint32(b)))
		if width == 8 {
			addend = int64(binary.LittleEndian.Uint64(b))
		}
		addr, problem := l.address(r.sym, addend)
		if problem != "" {
			return l.dataError(section, r, "pointer to %q: %s", r.sym.name, problem)
		}
		if width == 8 {
			binary.LittleEndian.PutUint64(b, addr)
			return nil
		}
		if addr > math.MaxUint32 {
			return l.dataError(section, r, "pointer to %q does not fit 4 bytes", r.sym.name)
		}
		binary.LittleEndian.PutUint32(b, uint32(addr))
		return nil
	})
}

// dataError names the variable that a relocation in data concerns.
func (l *loader) dataError(section int, r reloc, format string, args ...any) error {
	err := l.errorf(l.sections[section].name, format, args...).(*LoadError)
	err.Symbol = r.sym.name
	for i := range l.symbols {
		s := &l.symbols[i]
		if s.typ == elf.STT_OBJECT && s.section == section && r.offset >= s.value && r.offset-s.value < s.size {
			err.Msg = "variable \"" + s.name + "\": " + err.Msg
			break
		}
	}
	return err
}

// address returns what a symbol plus an addend is at run time, or why it is
// nothing. The address may lie outside of the symbol: compilers fold
// constants, as in table[i-1], and every access is checked when it happens.
func (l *loader) address(sym *elfSymbol, addend int64) (addr uint64, problem string) {
	if sym.section < 0 {
		switch {
		case sym.special == elf.SHN_COMMON:
			return 0, "a common symbol; build with -fno-common"
		case sym.special == elf.SHN_ABS:
			return sym.value + uint64(addend), ""
		case sym.special != elf.SHN_UNDEF:
			return 0, "a special section is not supported"
		}
		return l.undefinedAddress(sym)
	}
	p := l.places[sym.section]
	switch {
	case p.use.isData():
		if sym.value > l.sections[sym.section].size {
			return 0, "the symbol lies outside its section"
		}
		return uint64(int64(p.base) + int64(sym.value) + addend), ""
	case p.use == useCode:
		return 0, fmt.Sprintf("the address of function %q: calls through pointers are not supported", l.functionAt(sym, addend))
	case p.use == useMeta:
		return 0, "metadata is not part of a program's memory"
	}
	return 0, "section \"" + l.sections[sym.section].name + "\" is not part of a program's memory"
}

// functionAt names the function at an address in a code section: the symbol is
// often that of the section.
func (l *loader) functionAt(sym *elfSymbol, addend int64) string {
	slot := int64(l.places[sym.section].base) + int64(sym.value/slotSize) + addend/slotSize
	if slot < 0 || slot >= int64(len(l.obj.Code)) {
		return sym.name
	}
	return l.obj.Functions[l.obj.FunctionAt(int(slot))].Name
}

// undefinedAddress answers programs that test whether the host has a function:
//
//	extern u64 f(u64) __attribute__((weak));
//	if (f) …
func (l *loader) undefinedAddress(sym *elfSymbol) (addr uint64, problem string) {
	known := l.hostFuncs[sym.name]
	switch {
	case sym.bind == elf.STB_WEAK && known:
		return importPresence, ""
	case sym.bind == elf.STB_WEAK:
		return 0, ""
	case known:
		return 0, fmt.Sprintf("the address of host function %q: calls through pointers are not supported", sym.name)
	}
	return 0, "the symbol is defined nowhere"
}

// relocateCode applies the relocations of the code sections.
func (l *loader) relocateCode() error {
	wanted := func(u sectionUse) bool { return u == useCode }
	l.bound = make([]bool, len(l.obj.Code))
	return l.eachReloc(wanted, func(section int, r reloc) error {
		s := &l.sections[section]
		if r.offset%slotSize != 0 || r.offset >= uint64(len(s.data)) {
			return l.errorf(s.name, "relocation at byte %d is not at an instruction", r.offset)
		}
		slot := l.places[section].base + int(r.offset/slotSize)
		switch ins := &l.obj.Code[slot]; r.typ {
		case relocImm64:
			return l.relocateImm64(slot, r.sym)
		case relocCall:
			if ins.Op != OpCall {
				return l.codeError(slot, r.sym.name, "relocation %s of %q at an instruction that is no call", relocName(r.typ), r.sym.name)
			}
			return l.relocateCall(slot, r.sym)
		}
		return l.codeError(slot, r.sym.name, "relocation %s of %q is not possible in code", relocName(r.typ), r.sym.name)
	})
}

// relocateImm64 completes the load of an address.
func (l *loader) relocateImm64(slot int, sym *elfSymbol) error {
	code := l.obj.Code
	if !code[slot].IsLoadImm64() || slot+1 >= l.obj.Functions[l.obj.FunctionAt(slot)].End {
		return l.codeError(slot, sym.name, "relocation of %q at an instruction that is no 64-bit immediate load", sym.name)
	}
	if code[slot].Src != 0 {
		return l.codeError(slot, sym.name, "the load of %q has source %d already", sym.name, code[slot].Src)
	}
	// For symbols that name a section the offset in it stands in the first
	// immediate alone.
	addr, problem := l.address(sym, int64(code[slot].Imm))
	if problem != "" {
		return l.codeError(slot, sym.name, "load of %q: %s", sym.name, problem)
	}
	pair := LoadImm64(code[slot].Dst, addr)
	code[slot].Imm, code[slot+1].Imm = pair[0].Imm, pair[1].Imm
	return nil
}

// relocateCall binds a call to a function of the object or of the host. The
// immediate counts slots from the next instruction; with a symbol of value v
// the callee is at v + (imm+1)*8 of the symbol's section.
func (l *loader) relocateCall(slot int, sym *elfSymbol) error {
	ins := &l.obj.Code[slot]
	if l.bound[slot] {
		return l.codeError(slot, sym.name, "two relocations of one call")
	}
	l.bound[slot] = true
	if sym.undefined() {
		if ins.Imm != -1 {
			return l.codeError(slot, sym.name, "call %d slots into host function %q", int64(ins.Imm)+1, sym.name)
		}
		return l.bindImport(slot, sym)
	}
	if sym.section < 0 || l.places[sym.section].use != useCode {
		return l.codeError(slot, sym.name, "call of %q, which is no function", sym.name)
	}
	if sym.value%slotSize != 0 || sym.value > l.sections[sym.section].size {
		return l.codeError(slot, sym.name, "call of %q, which lies between instructions", sym.name)
	}
	target := int64(l.places[sym.section].base) + int64(sym.value/slotSize) + int64(ins.Imm) + 1
	ins.Src = CallLocal
	ins.Imm = int32(target - int64(slot) - 1)
	return nil
}

func (l *loader) bindImport(slot int, sym *elfSymbol) error {
	weak := sym.bind == elf.STB_WEAK
	if sym.name == "" {
		return l.codeError(slot, "", "call of a function without a name")
	}
	if !weak && !l.hostFuncs[sym.name] {
		if strings.HasPrefix(sym.name, "__") || sym.name == "memcpy" || sym.name == "memset" || sym.name == "memmove" || sym.name == "memcmp" {
			return l.codeError(slot, sym.name, "function %q, which the compiler calls on its own, is defined neither here nor by the host", sym.name)
		}
		return l.codeError(slot, sym.name, "function %q is defined neither here nor by the host", sym.name)
	}
	index, ok := l.imports[sym.name]
	if !ok {
		index = len(l.obj.Imports)
		l.imports[sym.name] = index
		l.obj.Imports = append(l.obj.Imports, Import{Name: sym.name, Weak: weak})
	}
	ins := &l.obj.Code[slot]
	ins.Src, ins.Imm = CallHelper, int32(index)
	return nil
}

// checkCalls makes sure that every call leads to a function.
func (l *loader) checkCalls() error {
	code := l.obj.Code
	for slot := 0; slot < len(code); slot += code[slot].Slots() {
		ins := &code[slot]
		if ins.IsLoadImm64() && ins.Src != 0 {
			return l.codeError(slot, "", "64-bit immediate load with source %d: maps and BTF identifiers are not supported", ins.Src)
		}
		if ins.Op != OpCall {
			continue
		}
		switch {
		case ins.Src == CallLocal:
			if !l.isFunction(slot, int64(slot)+1+int64(ins.Imm)) {
				return l.codeError(slot, "", "call leads into the middle of a function or outside the code")
			}
		case ins.Src == CallHelper && l.bound[slot]:
		case ins.Src == CallHelper:
			return l.codeError(slot, "", "call of helper number %d: host functions are bound by name, declare them extern", ins.Imm)
		case ins.Src == CallBTF:
			return l.codeError(slot, "", "call by BTF identifier %d: host functions are bound by name, declare them extern", ins.Imm)
		default:
			return l.codeError(slot, "", "call with source %d", ins.Src)
		}
	}
	return nil
}

// isFunction reports whether the call at slot, if it leads to target, reaches
// the start of a function. A call without a relocation stays in its section.
func (l *loader) isFunction(slot int, target int64) bool {
	if target < 0 || target >= int64(len(l.obj.Code)) {
		return false
	}
	callee := l.obj.Functions[l.obj.FunctionAt(int(target))]
	caller := l.obj.Functions[l.obj.FunctionAt(slot)]
	return callee.Start == int(target) && (l.bound[slot] || callee.Section == caller.Section)
}

func relocName(typ uint32) string {
	if name, ok := relocNames[typ]; ok {
		return name
	}
	return "of type " + strconv.FormatUint(uint64(typ), 10)
}
