package vm

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Limits of what Load accepts. They bound its time and memory whatever the
// bytes: each is far above what a plugin of hundreds of functions needs.
const (
	MaxObjectSize   = 4 << 20  // bytes of the file
	MaxInstructions = 64 << 10 // slots of all functions together
	MaxFunctions    = 4096
	MaxGlobals      = 16 << 20 // bytes of all data sections together

	maxSections   = 4096
	maxSymbols    = 64 << 10
	maxNameLength = 512 // bytes of a section's or symbol's name
)

// The fixed sizes of ELF64 structures.
//
// https://gabi.xinuos.com/elf/02-eheader.html
const (
	elfHeaderSize  = 64
	elfSectionSize = 64
	elfSymbolSize  = 24
	elfRelSize     = 16
)

// An elfFile is a relocatable ELF64 file for BPF whose tables have been
// bounds-checked.
//
// It is read here rather than by debug/elf because the bytes may be hostile:
// debug/elf copies each name up to its terminator, so that a small file with
// many sections that share one long name costs gigabytes, and it inflates
// compressed sections. Structures and constants are those of debug/elf.
type elfFile struct {
	name     string
	sections []elfSection // index 0 is the null section
	symbols  []elfSymbol  // index 0 is the null symbol
}

type elfSection struct {
	name  string
	typ   elf.SectionType
	flags elf.SectionFlag
	link  uint32
	info  uint32
	size  uint64 // of the section in memory
	align uint64
	data  []byte // contents, aliasing the file; nil for SHT_NOBITS
}

type elfSymbol struct {
	name    string // a section symbol has its section's name
	typ     elf.SymType
	bind    elf.SymBind
	section int // index into sections, or -1 if undefined or absolute
	special elf.SectionIndex
	value   uint64
	size    uint64
}

func (s *elfSymbol) undefined() bool { return s.special == elf.SHN_UNDEF && s.section < 0 }

// parseELF reads the tables of an ELF file. It keeps slices of data.
func parseELF(name string, data []byte) (*elfFile, error) {
	f := &elfFile{name: name}
	if len(data) > MaxObjectSize {
		return nil, f.errorf("", "the file has %d bytes, more than %d", len(data), MaxObjectSize)
	}
	shoff, shnum, shstrndx, err := f.parseHeader(data)
	if err != nil {
		return nil, err
	}
	if err := f.parseSections(data, shoff, shnum, shstrndx); err != nil {
		return nil, err
	}
	if err := f.parseSymbols(); err != nil {
		return nil, err
	}
	return f, nil
}

// parseHeader checks that the file is one that clang -target bpf writes and
// returns where its section headers are.
func (f *elfFile) parseHeader(data []byte) (shoff uint64, shnum, shstrndx int, err error) {
	if len(data) < elfHeaderSize || string(data[:4]) != elf.ELFMAG {
		return 0, 0, 0, f.errorf("", "not an ELF file")
	}
	le := binary.LittleEndian
	switch {
	case elf.Class(data[elf.EI_CLASS]) != elf.ELFCLASS64:
		return 0, 0, 0, f.errorf("", "not a 64-bit ELF file")
	case elf.Data(data[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return 0, 0, 0, f.errorf("", "a big-endian object; build with -target bpfel")
	case elf.Machine(le.Uint16(data[18:])) != elf.EM_BPF:
		return 0, 0, 0, f.errorf("", "an ELF file for machine %v, not for BPF; build with clang -target bpf", elf.Machine(le.Uint16(data[18:])))
	case elf.Type(le.Uint16(data[16:])) != elf.ET_REL:
		return 0, 0, 0, f.errorf("", "not a relocatable object file")
	case le.Uint16(data[58:]) != elfSectionSize:
		return 0, 0, 0, f.errorf("", "section headers of %d bytes", le.Uint16(data[58:]))
	}
	shoff = le.Uint64(data[40:])
	shnum = int(le.Uint16(data[60:]))
	shstrndx = int(le.Uint16(data[62:]))
	switch {
	case shnum == 0 || shnum > maxSections:
		return 0, 0, 0, f.errorf("", "%d sections; 1 to %d are possible", shnum, maxSections)
	case !inside(shoff, uint64(shnum)*elfSectionSize, len(data)):
		return 0, 0, 0, f.errorf("", "the section headers lie outside the file")
	case shstrndx >= shnum:
		return 0, 0, 0, f.errorf("", "no section of section names")
	}
	return shoff, shnum, shstrndx, nil
}

func (f *elfFile) parseSections(data []byte, shoff uint64, shnum, shstrndx int) error {
	f.sections = make([]elfSection, shnum)
	nameOffsets := make([]uint32, shnum)
	// Sections that share bytes would let a small file stand for much data.
	total := uint64(0)
	for i := 1; i < shnum; i++ {
		b := data[shoff+uint64(i)*elfSectionSize:]
		s := &f.sections[i]
		le := binary.LittleEndian
		nameOffsets[i] = le.Uint32(b)
		s.typ = elf.SectionType(le.Uint32(b[4:]))
		s.flags = elf.SectionFlag(le.Uint64(b[8:]))
		offset := le.Uint64(b[24:])
		s.size = le.Uint64(b[32:])
		s.link = le.Uint32(b[40:])
		s.info = le.Uint32(b[44:])
		s.align = le.Uint64(b[48:])
		if s.typ == elf.SHT_NOBITS || s.typ == elf.SHT_NULL {
			continue
		}
		if !inside(offset, s.size, len(data)) {
			return f.errorf("", "section %d lies outside the file", i)
		}
		if total += s.size; total > uint64(len(data)) {
			return f.errorf("", "sections overlap")
		}
		s.data = data[offset : offset+s.size : offset+s.size]
	}
	for i := 1; i < shnum; i++ {
		name, ok := tableString(f.sections[shstrndx].data, nameOffsets[i], maxNameLength)
		if !ok || !printable(name) {
			return f.errorf("", "section %d has no usable name", i)
		}
		f.sections[i].name = name
	}
	return nil
}

func (f *elfFile) parseSymbols() error {
	table := -1
	for i := range f.sections {
		if f.sections[i].typ != elf.SHT_SYMTAB {
			continue
		}
		if table >= 0 {
			return f.errorf("", "two symbol tables")
		}
		table = i
	}
	if table < 0 {
		return f.errorf("", "no symbol table")
	}
	symtab := &f.sections[table]
	n := len(symtab.data) / elfSymbolSize
	if n > maxSymbols {
		return f.errorf(symtab.name, "%d symbols, more than %d", n, maxSymbols)
	}
	if int64(symtab.link) >= int64(len(f.sections)) {
		return f.errorf(symtab.name, "no section of symbol names")
	}
	names := f.sections[symtab.link].data
	f.symbols = make([]elfSymbol, n)
	for i := range f.symbols {
		if err := f.parseSymbol(&f.symbols[i], symtab.data[i*elfSymbolSize:], names, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *elfFile) parseSymbol(s *elfSymbol, b, names []byte, i int) error {
	le := binary.LittleEndian
	s.typ = elf.ST_TYPE(b[4])
	s.bind = elf.ST_BIND(b[4])
	s.special = elf.SectionIndex(le.Uint16(b[6:]))
	s.value = le.Uint64(b[8:])
	s.size = le.Uint64(b[16:])
	s.section = -1
	if s.special != elf.SHN_UNDEF && s.special < elf.SHN_LORESERVE {
		if int(s.special) >= len(f.sections) {
			return f.errorf("", "symbol %d is in section %d, which does not exist", i, s.special)
		}
		s.section = int(s.special)
	}
	name, ok := tableString(names, le.Uint32(b), maxNameLength)
	if !ok || !printable(name) {
		return f.errorf("", "symbol %d has no usable name", i)
	}
	s.name = name
	if s.typ == elf.STT_SECTION && s.section >= 0 {
		s.name = f.sections[s.section].name
	}
	return nil
}

// errorf returns an error that concerns a section, or with an empty name the
// file.
func (f *elfFile) errorf(section, format string, args ...any) error {
	return &LoadError{Object: f.name, Section: section, Slot: -1, Msg: fmt.Sprintf(format, args...)}
}

// inside reports whether n bytes at offset lie within a file of size bytes.
func inside(offset, n uint64, size int) bool {
	return offset <= uint64(size) && n <= uint64(size)-offset
}

// tableString returns the NUL-terminated string at offset of a string table;
// false if it has no end within max bytes.
func tableString(table []byte, offset uint32, max int) (string, bool) {
	if offset == 0 && len(table) == 0 {
		return "", true
	}
	if uint64(offset) >= uint64(len(table)) {
		return "", false
	}
	rest := table[offset:]
	if len(rest) > max+1 {
		rest = rest[:max+1]
	}
	for i, c := range rest {
		if c == 0 {
			return string(rest[:i]), true
		}
	}
	return "", false
}

// printable reports whether s can be shown as it is: names from a file end up
// on terminals and in logs.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// align rounds n up to a multiple of a, a power of two.
func align(n, a uint64) uint64 { return (n + a - 1) &^ (a - 1) }

// Load reads an object that clang wrote for target bpf and binds it to env:
// sections get arena addresses, relocations are applied, names of host
// functions checked, fields of the host's structures resolved. It keeps no
// part of elf. A nil env offers nothing.
//
// Errors are of type *LoadError; everything that a file may ask for and that
// is not supported is one.
func Load(name string, elf []byte, env *Env) (obj *Object, err error) {
	// Every length and index below is checked. Should one check be missing, the
	// file that finds it must still not take the process with it.
	defer func() {
		if r := recover(); r != nil {
			obj, err = nil, &LoadError{Object: name, Slot: -1, Msg: recovered + fmt.Sprint(r)}
		}
	}()
	f, err := parseELF(name, elf)
	if err != nil {
		return nil, err
	}
	if env == nil {
		env = new(Env)
	}
	l := &loader{
		elfFile:      f,
		env:          env,
		places:       make([]sectionPlace, len(f.sections)),
		imports:      make(map[string]int),
		hostFuncs:    make(map[string]bool),
		codeSections: make(map[string]int),
		obj: &Object{
			Name:    name,
			Meta:    make(map[string][]byte),
			Globals: make(map[string]Global),
		},
	}
	for i := range env.Funcs {
		l.hostFuncs[env.Funcs[i].Name] = true
	}
	for _, step := range []func() error{
		l.classify,
		l.layOutCode,
		l.layOutData,
		l.findFunctions,
		l.parseBTF,
		l.attachLines, // early, so that errors can name the source
		l.relocateData,
		l.relocateCode,
		l.checkCalls,
		l.relocateFields,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.obj, nil
}

// recovered starts the message of an error that a check should have found.
const recovered = "malformed object: "

// A loader turns the sections of a file into an Object.
type loader struct {
	*elfFile
	env          *Env
	obj          *Object
	places       []sectionPlace // per section of the file
	codeSections map[string]int
	hostFuncs    map[string]bool
	imports      map[string]int // index into obj.Imports
	bound        []bool         // per slot: a relocation has said what the call there calls
	btf          *btfSpec       // nil without BTF
	ext          *btfExt        // nil without .BTF.ext
}

// codeError returns an error that concerns the instruction at slot of obj.Code.
func (l *loader) codeError(slot int, symbol, format string, args ...any) error {
	e := &LoadError{Object: l.name, Slot: slot, Symbol: symbol, Msg: fmt.Sprintf(format, args...)}
	if i := l.obj.FunctionAt(slot); i >= 0 {
		f := &l.obj.Functions[i]
		e.Section, e.Function, e.Slot = f.Section, f.Name, slot-f.Start
	}
	if line, ok := l.obj.LineAt(slot); ok {
		e.File, e.Line = line.File, line.Line
	}
	return e
}
