package vm

import (
	"cmp"
	"debug/elf"
	"slices"
	"strings"
)

// A sectionUse says what becomes of a section.
type sectionUse uint8

const (
	useNone   sectionUse = iota // debug information and tables
	useCode                     // functions
	useROData                   // constants
	useData                     // initialised variables
	useBSS                      // zero variables
	useMeta                     // kept raw for the package above
)

func (u sectionUse) isData() bool { return u == useROData || u == useData || u == useBSS }

// A sectionPlace says where the contents of a section went.
type sectionPlace struct {
	use  sectionUse
	base int // useCode: slot of Object.Code; data: arena address
}

// metaPrefix starts the names of sections that are not loaded but kept in
// Object.Meta.
const metaPrefix = ".pquic."

// classify decides by name and flags what each section is for, and refuses
// those that ask for something else.
func (l *loader) classify() error {
	for i := 1; i < len(l.sections); i++ {
		s := &l.sections[i]
		if s.flags&elf.SHF_COMPRESSED != 0 && s.flags&elf.SHF_ALLOC != 0 {
			return l.errorf(s.name, "compressed sections are not supported")
		}
		switch {
		case s.name == "license" || strings.HasPrefix(s.name, metaPrefix):
			if s.typ == elf.SHT_REL || s.typ == elf.SHT_RELA {
				continue
			}
			if s.data == nil {
				return l.errorf(s.name, "metadata without contents")
			}
			if _, twice := l.obj.Meta[s.name]; twice {
				return l.errorf(s.name, "the section exists twice")
			}
			l.places[i].use = useMeta
			l.obj.Meta[s.name] = slices.Clone(s.data)
		case s.name == "maps" || s.name == ".maps" || strings.HasPrefix(s.name, "maps/"):
			return l.errorf(s.name, "maps are not supported: keep state in global variables or on the heap")
		case s.flags&elf.SHF_ALLOC == 0:
		case s.flags&elf.SHF_TLS != 0:
			return l.errorf(s.name, "thread-local variables are not supported")
		case s.typ != elf.SHT_PROGBITS && s.typ != elf.SHT_NOBITS:
			return l.errorf(s.name, "sections of type %v are not supported", s.typ)
		case s.flags&elf.SHF_EXECINSTR != 0:
			if s.typ == elf.SHT_NOBITS {
				return l.errorf(s.name, "code without contents")
			}
			l.places[i].use = useCode
		case s.typ == elf.SHT_NOBITS:
			l.places[i].use = useBSS
		case s.flags&elf.SHF_WRITE != 0:
			l.places[i].use = useData
		default:
			l.places[i].use = useROData
		}
	}
	return nil
}

// layOutCode decodes the code sections one after the other.
func (l *loader) layOutCode() error {
	for i := range l.sections {
		s := &l.sections[i]
		if l.places[i].use != useCode {
			continue
		}
		if _, twice := l.codeSections[s.name]; twice {
			return l.errorf(s.name, "two code sections of one name")
		}
		l.codeSections[s.name] = i
		l.places[i].base = len(l.obj.Code)
		if len(s.data)/slotSize > MaxInstructions-len(l.obj.Code) {
			return l.errorf(s.name, "more than %d instructions", MaxInstructions)
		}
		code, err := DecodeInstructions(s.data)
		if err != nil {
			return l.errorf(s.name, "%d bytes are no whole number of instructions", len(s.data))
		}
		l.obj.Code = append(l.obj.Code, code...)
	}
	return nil
}

// layOutData gives the data sections their arena addresses, read-only ones
// first, and collects their contents.
func (l *loader) layOutData() error {
	o := l.obj
	end := uint64(NullGuard)
	put := func(use sectionUse) error {
		for i := range l.sections {
			s := &l.sections[i]
			if l.places[i].use != use {
				continue
			}
			a := max(s.align, 1)
			if a&(a-1) != 0 || a > dataAlign {
				return l.errorf(s.name, "an alignment of %d bytes is not supported", s.align)
			}
			addr := align(end, a)
			if s.size > MaxGlobals || addr+s.size-NullGuard > MaxGlobals {
				return l.errorf(s.name, "globals exceed %d bytes", MaxGlobals)
			}
			l.places[i].base = int(addr)
			end = addr + s.size
		}
		return nil
	}
	if err := put(useROData); err != nil {
		return err
	}
	o.RODataAddr = NullGuard
	o.ROData = make([]byte, end-NullGuard)
	end = align(end, dataAlign)
	o.DataAddr = uint32(end)
	if err := put(useData); err != nil {
		return err
	}
	o.Data = make([]byte, end-uint64(o.DataAddr))
	o.BSSAddr = uint32(end)
	if err := put(useBSS); err != nil {
		return err
	}
	o.BSSSize = uint32(end) - o.BSSAddr
	o.End = uint32(end)
	for i := range l.sections {
		if l.places[i].use.isData() {
			copy(l.contents(i), l.sections[i].data)
		}
	}
	l.findGlobals()
	return nil
}

// contents returns the bytes of the object that a data section fills; nil for
// zero variables and empty sections.
func (l *loader) contents(section int) []byte {
	p, size := l.places[section], int(l.sections[section].size)
	if size == 0 {
		return nil
	}
	switch p.use {
	case useROData:
		return l.obj.ROData[p.base-NullGuard:][:size]
	case useData:
		return l.obj.Data[p.base-int(l.obj.DataAddr):][:size]
	}
	return nil
}

// findGlobals records the named variables. Static variables of one name in
// different functions are told apart by clang's function prefix.
func (l *loader) findGlobals() {
	for i := range l.symbols {
		s := &l.symbols[i]
		if s.typ != elf.STT_OBJECT || s.section < 0 || !l.places[s.section].use.isData() {
			continue
		}
		size := l.sections[s.section].size
		if s.value > size || s.size > size-s.value {
			continue
		}
		if _, twice := l.obj.Globals[s.name]; twice {
			continue
		}
		l.obj.Globals[s.name] = Global{
			Addr:    uint32(l.places[s.section].base) + uint32(s.value),
			Size:    uint32(s.size),
			Section: l.sections[s.section].name,
		}
		l.obj.byAddr = append(l.obj.byAddr, s.name)
	}
	g := l.obj.Globals
	slices.SortFunc(l.obj.byAddr, func(a, b string) int {
		return cmp.Or(cmp.Compare(g[a].Addr, g[b].Addr), strings.Compare(a, b))
	})
}

// findFunctions divides the code among the function symbols and lists the
// entry points: global functions outside .text.
func (l *loader) findFunctions() error {
	type start struct {
		slot int
		sym  *elfSymbol
	}
	var starts []start
	for i := range l.symbols {
		s := &l.symbols[i]
		if s.typ != elf.STT_FUNC || s.section < 0 || l.places[s.section].use != useCode {
			continue
		}
		section := &l.sections[s.section]
		if s.value%slotSize != 0 || s.value >= section.size || s.size > section.size-s.value || s.size%slotSize != 0 {
			return l.errorf(section.name, "function %q lies outside the section or between instructions", s.name)
		}
		starts = append(starts, start{l.places[s.section].base + int(s.value/slotSize), s})
	}
	// Of several names for one place the first global one counts.
	slices.SortStableFunc(starts, func(a, b start) int {
		if a.slot != b.slot {
			return a.slot - b.slot
		}
		return boolInt(a.sym.bind == elf.STB_LOCAL) - boolInt(b.sym.bind == elf.STB_LOCAL)
	})
	starts = slices.CompactFunc(starts, func(a, b start) bool { return a.slot == b.slot })
	if len(starts) > MaxFunctions {
		return l.errorf("", "%d functions, more than %d", len(starts), MaxFunctions)
	}
	for i, s := range starts {
		section := &l.sections[s.sym.section]
		base := l.places[s.sym.section].base
		end := base + len(section.data)/slotSize
		if i+1 < len(starts) && starts[i+1].slot < end {
			end = starts[i+1].slot
		}
		if s.sym.size != 0 && s.slot+int(s.sym.size/slotSize) != end {
			return l.errorf(section.name, "function %q overlaps another or is followed by code without a name", s.sym.name)
		}
		if s.slot != base && (i == 0 || starts[i-1].sym.section != s.sym.section) {
			return l.errorf(section.name, "code without a function's name before %q", s.sym.name)
		}
		l.addFunction(Function{Name: s.sym.name, Section: section.name, Start: s.slot, End: end}, s.sym.bind)
	}
	return l.checkCovered()
}

func (l *loader) addFunction(f Function, bind elf.SymBind) {
	o := l.obj
	if bind != elf.STB_LOCAL && f.Section != ".text" {
		o.Programs = append(o.Programs, Program{Section: f.Section, Name: f.Name, Function: len(o.Functions)})
	}
	o.Functions = append(o.Functions, f)
}

// checkCovered refuses code that belongs to no function.
func (l *loader) checkCovered() error {
	for i := range l.sections {
		s := &l.sections[i]
		if l.places[i].use == useCode && len(s.data) > 0 && l.obj.FunctionAt(l.places[i].base) < 0 {
			return l.errorf(s.name, "code without a function's name")
		}
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
