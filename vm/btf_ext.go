package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Section .BTF.ext ties code to types, source lines and CO-RE relocations.
//
// https://docs.kernel.org/bpf/btf.html#btf-ext-section

const (
	btfExtHeaderSize     = 24 // up to line info
	btfExtHeaderSizeCORE = 32 // with CO-RE relocations

	funcInfoSize = 8
	lineInfoSize = 16
	coreInfoSize = 16
)

// A btfExt is a parsed section .BTF.ext: records by the name of the code
// section that they concern.
type btfExt struct {
	funcs []btfExtSection
	lines []btfExtSection
	cores []btfExtSection
}

// A btfExtSection holds records of one code section, each of size bytes.
type btfExtSection struct {
	name    string
	size    int
	records []byte
}

// each calls fn for every record. The first word of each is the offset of an
// instruction in its section, in bytes.
func (s *btfExtSection) each(fn func(rec []byte) error) error {
	for b := s.records; len(b) >= s.size; b = b[s.size:] {
		if err := fn(b[:s.size]); err != nil {
			return err
		}
	}
	return nil
}

// parseBTFExt parses the contents of section .BTF.ext. It keeps slices of data.
func parseBTFExt(data []byte, spec *btfSpec) (*btfExt, error) {
	if len(data) < btfExtHeaderSize {
		return nil, errors.New("truncated header")
	}
	le := binary.LittleEndian
	if le.Uint16(data) != btfMagic {
		return nil, errors.New("no BTF, or of the other byte order")
	}
	if data[2] != 1 {
		return nil, fmt.Errorf("BTF version %d", data[2])
	}
	hdrLen := le.Uint32(data[4:])
	if hdrLen < btfExtHeaderSize || uint64(hdrLen) > uint64(len(data)) {
		return nil, errors.New("header longer than the section")
	}
	body := data[hdrLen:]
	ext := new(btfExt)
	table := func(at, least int) ([]btfExtSection, error) {
		b, ok := sub(body, le.Uint32(data[at:]), le.Uint32(data[at+4:]))
		if !ok {
			return nil, errors.New("a table lies outside the section")
		}
		return parseExtTable(b, least, spec)
	}
	var err error
	if ext.funcs, err = table(8, funcInfoSize); err != nil {
		return nil, fmt.Errorf("function info: %w", err)
	}
	if ext.lines, err = table(16, lineInfoSize); err != nil {
		return nil, fmt.Errorf("line info: %w", err)
	}
	if hdrLen >= btfExtHeaderSizeCORE {
		if ext.cores, err = table(24, coreInfoSize); err != nil {
			return nil, fmt.Errorf("CO-RE relocations: %w", err)
		}
	}
	return ext, nil
}

// parseExtTable parses one table: the size of its records, then for each code
// section its name, the number of records, the records.
func parseExtTable(b []byte, least int, spec *btfSpec) ([]btfExtSection, error) {
	if len(b) == 0 {
		return nil, nil
	}
	le := binary.LittleEndian
	if len(b) < 4 {
		return nil, errors.New("truncated")
	}
	size := le.Uint32(b)
	if size < uint32(least) || size > 256 || size%4 != 0 {
		return nil, fmt.Errorf("records of %d bytes", size)
	}
	var sections []btfExtSection
	for b = b[4:]; len(b) > 0; {
		if len(b) < 8 {
			return nil, errors.New("truncated")
		}
		name, ok := tableString(spec.strings, le.Uint32(b), maxNameLength)
		if !ok {
			return nil, errors.New("a section without a name")
		}
		n := uint64(le.Uint32(b[4:])) * uint64(size)
		b = b[8:]
		if n > uint64(len(b)) {
			return nil, errors.New("truncated")
		}
		sections = append(sections, btfExtSection{name: name, size: int(size), records: b[:n]})
		b = b[n:]
	}
	return sections, nil
}

// parseBTF reads the type information, if the file has any.
func (l *loader) parseBTF() error {
	var types, ext *elfSection
	for i := range l.sections {
		switch l.sections[i].name {
		case ".BTF":
			types = &l.sections[i]
		case ".BTF.ext":
			ext = &l.sections[i]
		}
	}
	if types == nil {
		return nil
	}
	var err error
	if l.btf, err = parseBTFSpec(types.data); err != nil {
		return l.errorf(types.name, "%v", err)
	}
	if ext == nil {
		return nil
	}
	if l.ext, err = parseBTFExt(ext.data, l.btf); err != nil {
		return l.errorf(ext.name, "%v", err)
	}
	return nil
}

// eachInfo calls fn with the slot that each record of the tables concerns.
// Records of sections that hold no code are skipped.
func (l *loader) eachInfo(tables []btfExtSection, fn func(slot int, rec []byte) error) error {
	for i := range tables {
		t := &tables[i]
		section, ok := l.codeSections[t.name]
		if !ok {
			continue
		}
		base, size := l.places[section].base, l.sections[section].size
		err := t.each(func(rec []byte) error {
			off := binary.LittleEndian.Uint32(rec)
			if off%slotSize != 0 || uint64(off) >= size {
				return l.errorf(".BTF.ext", "a record at byte %d of section %q, where no instruction is", off, t.name)
			}
			return fn(base+int(off/slotSize), rec)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
