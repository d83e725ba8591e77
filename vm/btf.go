package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// BTF, the type information that clang -g writes into section .BTF, is parsed
// here rather than by a library: of a hostile file only what is used gets
// looked at, all of it bounded, and errors can name the field of the program
// and of the host that do not fit.
//
// https://docs.kernel.org/bpf/btf.html

const (
	btfMagic      = 0xeb9f
	btfHeaderSize = 24

	maxBTFTypes    = 64 << 10
	maxBTFDepth    = 32  // of typedefs, qualifiers and nested members
	maxTextLength  = 240 // bytes of a source line that are kept
	maxFieldLength = 128 // bytes of an identifier
	maxPrototype   = 512 // bytes of a function's declaration
)

// A btfKind is the kind of a type.
type btfKind uint8

const (
	btfVoid      btfKind = 0
	btfInt       btfKind = 1
	btfPtr       btfKind = 2
	btfArray     btfKind = 3
	btfStruct    btfKind = 4
	btfUnion     btfKind = 5
	btfEnum      btfKind = 6
	btfFwd       btfKind = 7
	btfTypedef   btfKind = 8
	btfVolatile  btfKind = 9
	btfConst     btfKind = 10
	btfRestrict  btfKind = 11
	btfFunc      btfKind = 12
	btfFuncProto btfKind = 13
	btfVar       btfKind = 14
	btfDatasec   btfKind = 15
	btfFloat     btfKind = 16
	btfDeclTag   btfKind = 17
	btfTypeTag   btfKind = 18
	btfEnum64    btfKind = 19
)

// trailing returns how many bytes follow the record of a type of the kind:
// some for the type itself and some for each of its vlen elements.
func (k btfKind) trailing() (fixed, each int, ok bool) {
	switch k {
	case btfPtr, btfFwd, btfTypedef, btfVolatile, btfConst, btfRestrict, btfFunc, btfFloat, btfTypeTag:
		return 0, 0, true
	case btfInt, btfVar, btfDeclTag:
		return 4, 0, true
	case btfArray:
		return 12, 0, true
	case btfStruct, btfUnion, btfDatasec, btfEnum64:
		return 0, 12, true
	case btfEnum, btfFuncProto:
		return 0, 8, true
	}
	return 0, 0, false
}

// A btfType is one type; what follows its record is decoded when asked for.
type btfType struct {
	nameOff uint32
	kind    btfKind
	flag    bool   // kind_flag: bit-field encoding, union for Fwd, signed for enums
	vlen    int    // members, values or parameters
	ref     uint32 // size in bytes or the identifier of another type
	extra   []byte
}

// A btfSpec is a parsed section .BTF.
type btfSpec struct {
	types   []btfType // index is the identifier; 0 is void
	strings []byte
}

// parseBTFSpec parses the contents of section .BTF. It keeps slices of data.
func parseBTFSpec(data []byte) (*btfSpec, error) {
	if len(data) < btfHeaderSize {
		return nil, errors.New("truncated header")
	}
	le := binary.LittleEndian
	if le.Uint16(data) != btfMagic {
		return nil, errors.New("no BTF, or of the other byte order")
	}
	if data[2] != 1 {
		return nil, fmt.Errorf("BTF version %d", data[2])
	}
	hdrLen := uint64(le.Uint32(data[4:]))
	if hdrLen < btfHeaderSize || hdrLen > uint64(len(data)) {
		return nil, errors.New("header longer than the section")
	}
	body := data[hdrLen:]
	types, ok := sub(body, le.Uint32(data[8:]), le.Uint32(data[12:]))
	if !ok {
		return nil, errors.New("types lie outside the section")
	}
	spec := &btfSpec{types: make([]btfType, 1, len(types)/16+1)}
	if spec.strings, ok = sub(body, le.Uint32(data[16:]), le.Uint32(data[20:])); !ok {
		return nil, errors.New("strings lie outside the section")
	}
	for len(types) > 0 {
		if len(types) < 12 {
			return nil, errors.New("truncated type")
		}
		if len(spec.types) > maxBTFTypes {
			return nil, fmt.Errorf("more than %d types", maxBTFTypes)
		}
		info := le.Uint32(types[4:])
		t := btfType{
			nameOff: le.Uint32(types),
			kind:    btfKind(info >> 24 & 0x1f),
			flag:    info>>31 != 0,
			vlen:    int(info & 0xffff),
			ref:     le.Uint32(types[8:]),
		}
		fixed, each, ok := t.kind.trailing()
		if !ok {
			return nil, fmt.Errorf("type %d is of unknown kind %d", len(spec.types), t.kind)
		}
		n := 12 + fixed + each*t.vlen
		if n > len(types) {
			return nil, fmt.Errorf("type %d is truncated", len(spec.types))
		}
		t.extra = types[12:n:n]
		types = types[n:]
		spec.types = append(spec.types, t)
	}
	return spec, nil
}

// sub returns n bytes at offset of b; false if they are not there.
func sub(b []byte, offset, n uint32) ([]byte, bool) {
	if !inside(uint64(offset), uint64(n), len(b)) {
		return nil, false
	}
	return b[offset : uint64(offset)+uint64(n)], true
}

// name returns an identifier; what is no printable name is returned empty.
func (s *btfSpec) name(off uint32) string {
	name, ok := tableString(s.strings, off, maxFieldLength)
	if !ok || !printable(name) {
		return ""
	}
	return name
}

// typ returns the type of an identifier; void if there is none.
func (s *btfSpec) typ(id uint32) *btfType {
	if uint64(id) >= uint64(len(s.types)) {
		return &s.types[0]
	}
	return &s.types[id]
}

// skip follows typedefs and qualifiers. It also returns the outermost name on
// the way: the one that an anonymous struct goes by.
func (s *btfSpec) skip(id uint32) (t *btfType, resolved uint32, name string) {
	for range maxBTFDepth {
		t = s.typ(id)
		if name == "" {
			name = s.name(t.nameOff)
		}
		switch t.kind {
		case btfTypedef, btfVolatile, btfConst, btfRestrict, btfTypeTag:
			id = t.ref
		default:
			if own := s.name(t.nameOff); own != "" {
				name = own
			}
			return t, id, name
		}
	}
	return &s.types[0], 0, name
}

// A btfMember is a member of a struct or union.
type btfMember struct {
	name     string
	typ      uint32
	bits     uint32 // offset in the struct, in bits
	bitField bool
}

// member returns member i of a struct or union; i must be less than t.vlen.
func (s *btfSpec) member(t *btfType, i int) btfMember {
	b := t.extra[12*i:]
	le := binary.LittleEndian
	m := btfMember{name: s.name(le.Uint32(b)), typ: le.Uint32(b[4:]), bits: le.Uint32(b[8:])}
	// With kind_flag set the upper byte is the size of a bit-field; without it
	// the encoding of the integer has it.
	if t.flag {
		m.bitField = m.bits>>24 != 0
		m.bits &= 0xffffff
	} else if mt, _, _ := s.skip(m.typ); mt.kind == btfInt {
		m.bitField = uint64(mt.intBits()) != uint64(mt.ref)*8
	}
	m.bitField = m.bitField || m.bits%8 != 0
	return m
}

// array returns the element type and the length of an array.
func (t *btfType) array() (elem, n uint32) {
	le := binary.LittleEndian
	return le.Uint32(t.extra), le.Uint32(t.extra[8:])
}

// intBits returns the width of an integer; intSigned and intBool its encoding.
func (t *btfType) intBits() uint32 { return binary.LittleEndian.Uint32(t.extra) & 0xff }

func (t *btfType) intSigned() bool { return binary.LittleEndian.Uint32(t.extra)>>24&1 != 0 }

func (t *btfType) intBool() bool { return binary.LittleEndian.Uint32(t.extra)>>24&4 != 0 }

// size returns the size of a type in bytes; false if it has none or is larger
// than an arena can be.
func (s *btfSpec) size(id uint32) (uint32, bool) {
	n := uint64(1)
	for range maxBTFDepth {
		t, _, _ := s.skip(id)
		switch t.kind {
		case btfInt, btfStruct, btfUnion, btfEnum, btfEnum64, btfFloat, btfDatasec:
			n *= uint64(t.ref)
		case btfPtr:
			n *= 8
		case btfArray:
			elem, count := t.array()
			if n *= uint64(count); n > MaxGlobals {
				return 0, false
			}
			id = elem
			continue
		default:
			return 0, false
		}
		if n > MaxGlobals {
			return 0, false
		}
		return uint32(n), true
	}
	return 0, false
}

// cName writes a type as C does, for messages and listings: "struct pq_path *".
func (s *btfSpec) cName(id uint32) string { return s.cNameDepth(id, maxBTFDepth) }

func (s *btfSpec) cNameDepth(id uint32, depth int) string {
	if depth == 0 {
		return "…"
	}
	t := s.typ(id)
	name := s.name(t.nameOff)
	switch t.kind {
	case btfVoid:
		return "void"
	case btfPtr:
		of := s.cNameDepth(t.ref, depth-1)
		if of[len(of)-1] == '*' {
			return of + "*"
		}
		return of + " *"
	case btfConst:
		return "const " + s.cNameDepth(t.ref, depth-1)
	case btfVolatile:
		return "volatile " + s.cNameDepth(t.ref, depth-1)
	case btfRestrict, btfTypeTag:
		return s.cNameDepth(t.ref, depth-1)
	case btfArray:
		elem, n := t.array()
		return fmt.Sprintf("%s[%d]", s.cNameDepth(elem, depth-1), n)
	case btfStruct:
		return "struct " + orAnonymous(name)
	case btfUnion:
		return "union " + orAnonymous(name)
	case btfEnum, btfEnum64:
		return "enum " + orAnonymous(name)
	case btfFwd:
		if t.flag {
			return "union " + orAnonymous(name)
		}
		return "struct " + orAnonymous(name)
	case btfFuncProto:
		return "function"
	}
	return orAnonymous(name)
}

func orAnonymous(name string) string {
	if name == "" {
		return "(anonymous)"
	}
	return name
}

// prototype writes a function's declaration as C does; empty if the type is no
// function.
func (s *btfSpec) prototype(id uint32) string {
	f := s.typ(id)
	if f.kind != btfFunc {
		return ""
	}
	p := s.typ(f.ref)
	if p.kind != btfFuncProto || p.vlen > 64 {
		return ""
	}
	out := declare(s.cName(p.ref), s.name(f.nameOff)) + "("
	for i := range p.vlen {
		b := p.extra[8*i:]
		if i > 0 {
			out += ", "
		}
		name, typ := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if typ == 0 {
			out += "..."
			continue
		}
		if out += declare(s.cName(typ), s.name(name)); len(out) > maxPrototype {
			return ""
		}
	}
	if p.vlen == 0 {
		out += "void"
	}
	return out + ")"
}

// declare joins a type and a name.
func declare(typ, name string) string {
	if name == "" || typ[len(typ)-1] == '*' {
		return typ + name
	}
	return typ + " " + name
}
