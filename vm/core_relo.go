package vm

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Compile once, run anywhere: a program declares the host's structures itself,
// with the fields that it needs. For each access clang records which field of
// which structure it means, and the loader puts the host's offset in its
// place. A field is found by its name; one inside a nested structure by the
// names on the way, "sample.latest_rtt".
//
// A program whose field has another width than the host's is served only
// where that is exact: a load of an unsigned field that is narrower here.
//
// https://docs.kernel.org/bpf/llvm_reloc.html#co-re-relocations

// coreForm says what about a field or type a relocation asks for.
type coreForm uint32

const (
	coreByteOffset   coreForm = 0
	coreByteSize     coreForm = 1
	coreFieldExists  coreForm = 2
	coreSigned       coreForm = 3
	coreLShift       coreForm = 4
	coreRShift       coreForm = 5
	coreTypeIDLocal  coreForm = 6
	coreTypeIDTarget coreForm = 7
	coreTypeExists   coreForm = 8
	coreTypeSize     coreForm = 9
	coreEnumExists   coreForm = 10
	coreEnumValue    coreForm = 11
	coreTypeMatches  coreForm = 12
)

var coreFormNames = [...]string{
	"byte_offset", "byte_size", "field_exists", "signed", "lshift_u64", "rshift_u64",
	"local_type_id", "target_type_id", "type_exists", "type_size",
	"enumval_exists", "enumval_value", "type_matches",
}

func (f coreForm) String() string {
	if int(f) < len(coreFormNames) {
		return coreFormNames[f]
	}
	return "form " + strconv.FormatUint(uint64(f), 10)
}

// A coreRelo is one relocation as the program sees it.
type coreRelo struct {
	slot int
	form coreForm
	coreAccess
}

// A coreAccess is a field, or a whole type if path is empty, of the program's
// own declarations.
type coreAccess struct {
	kind     string // struct name without flavour: pq_path for struct pq_path___v2
	keyword  string // "struct", "union", "enum" …
	path     string // "rtt", "sample.latest_rtt", "hist[2]"
	array    string // path up to the first index, if it has one
	inner    uint32 // byte offset from there
	offset   uint32 // bytes from the start of the type
	size     uint32 // bytes of the field or type
	typ      uint32 // BTF identifier of the field's type
	root     uint32 // and of the type's
	bitField bool
}

// A coreTarget is what a relocation resolves to on the host.
type coreTarget struct {
	kind   *Kind
	field  *Field // nil: the whole kind
	offset uint32
	size   uint32 // bytes of the field; of an array, of the part accessed
	signed bool
}

// relocateFields applies the CO-RE relocations. A field that the host lacks is
// an error, unless the program asked whether it exists and does not get there.
func (l *loader) relocateFields() error {
	if l.ext == nil || len(l.ext.cores) == 0 {
		return nil
	}
	seen := make([]bool, len(l.obj.Code))
	type lack struct {
		slot int
		err  error
	}
	var lacking []lack
	err := l.eachInfo(l.ext.cores, func(slot int, rec []byte) error {
		if seen[slot] {
			return l.codeError(slot, "", "two CO-RE relocations of one instruction")
		}
		seen[slot] = true
		r, err := l.coreRelo(slot, rec)
		if err != nil {
			return err
		}
		missing, err := l.relocateField(r)
		if missing != nil {
			lacking = append(lacking, lack{slot, missing})
		}
		return err
	})
	slices.SortFunc(l.obj.Fields, func(a, b FieldUse) int { return a.Slot - b.Slot })
	if err != nil || len(lacking) == 0 {
		return err
	}
	reached := reachable(l.obj)
	for _, m := range lacking {
		if reached[m.slot] {
			return m.err
		}
		neutralize(l.obj.Code, m.slot)
	}
	return nil
}

// coreRelo decodes a record and follows its access string, such as "0:2:1":
// index into an array of the type (always 0), then members and array elements.
func (l *loader) coreRelo(slot int, rec []byte) (coreRelo, error) {
	le := binary.LittleEndian
	r := coreRelo{slot: slot, form: coreForm(le.Uint32(rec[12:]))}
	r.root = le.Uint32(rec[4:])
	t, id, name := l.btf.skip(r.root)
	r.typ = id
	r.kind = name
	if i := strings.Index(name, "___"); i > 0 {
		r.kind = name[:i]
	}
	r.keyword = map[btfKind]string{btfStruct: "struct", btfUnion: "union", btfEnum: "enum", btfEnum64: "enum"}[t.kind]
	if r.keyword == "" {
		r.keyword = "type"
	}
	access, ok := tableString(l.btf.strings, le.Uint32(rec[8:]), maxFieldLength)
	if !ok {
		return r, l.codeError(slot, "", "CO-RE relocation without an access string")
	}
	if r.form == coreEnumExists || r.form == coreEnumValue {
		r.path = l.enumerator(t, access)
		return r, nil
	}
	if r.size, ok = l.btf.size(id); !ok && t.kind != btfFwd {
		return r, l.codeError(slot, r.kind, "CO-RE relocation of a type without a size")
	}
	problem := l.follow(&r.coreAccess, access)
	if problem != "" {
		return r, l.codeError(slot, r.kind, "CO-RE relocation %q of %s %s: %s", access, r.keyword, r.kind, problem)
	}
	return r, nil
}

// follow completes an access whose root, typ and size are set.
func (l *loader) follow(a *coreAccess, access string) (problem string) {
	bits := uint64(0)
	for depth, word := range strings.Split(access, ":") {
		index, err := strconv.ParseUint(word, 10, 31)
		switch {
		case err != nil:
			return "malformed"
		case depth == 0 && index != 0:
			return "an element of an array of structures"
		case depth == 0:
			continue
		case depth > maxBTFDepth:
			return "nested too deeply"
		}
		t, _, _ := l.btf.skip(a.typ)
		switch t.kind {
		case btfStruct, btfUnion:
			if index >= uint64(t.vlen) {
				return "no such member"
			}
			m := l.btf.member(t, int(index))
			if m.name != "" && a.path != "" {
				a.path += "."
			}
			a.path += m.name
			a.bitField = m.bitField
			bits += uint64(m.bits)
			a.typ = m.typ
		case btfArray:
			elem, n := t.array()
			size, ok := l.btf.size(elem)
			if !ok || n > 1 && index >= uint64(n) {
				return "no such element"
			}
			if a.array == "" {
				a.array, a.inner = a.path, uint32(bits/8)
			}
			a.path += "[" + word + "]"
			bits += index * uint64(size) * 8
			a.typ = elem
		default:
			return "a member of something that has none"
		}
		if bits > math.MaxInt32 || len(a.path) > maxFieldLength {
			return "too large"
		}
	}
	a.offset = uint32(bits / 8)
	a.inner = a.offset - a.inner
	if a.typ != a.root {
		// A flexible array at the end has no size; its elements have.
		a.size, _ = l.btf.size(a.typ)
	}
	return ""
}

// enumerator returns the name of a value of an enum.
func (l *loader) enumerator(t *btfType, access string) string {
	each := 8
	if t.kind == btfEnum64 {
		each = 12
	} else if t.kind != btfEnum {
		return ""
	}
	i, err := strconv.ParseUint(access, 10, 31)
	if err != nil || i >= uint64(t.vlen) {
		return ""
	}
	return l.btf.name(binary.LittleEndian.Uint32(t.extra[each*int(i):]))
}

// resolve finds the host's counterpart of an access; problem says what the
// host lacks or has differently.
func (l *loader) resolve(a *coreAccess) (t coreTarget, problem string) {
	for i := range l.env.Kinds {
		if l.env.Kinds[i].Name == a.kind {
			t.kind = &l.env.Kinds[i]
			break
		}
	}
	switch {
	case t.kind == nil:
		return t, fmt.Sprintf("the host has no %s %s", a.keyword, a.kind)
	case a.path == "":
		t.size = t.kind.Size
		return t, ""
	}
	for i := range t.kind.Fields {
		f := &t.kind.Fields[i]
		switch {
		case f.Name == a.path:
			t.field, t.offset, t.size, t.signed = f, f.Offset, uint32(f.Size), f.Signed
			if f.Type == BytesField {
				t.size = f.Length
			}
		case f.Type == BytesField && a.array != "" && f.Name == a.array:
			if a.inner > f.Length || a.size > f.Length-a.inner {
				return t, fmt.Sprintf("%s %s: field %q has %d bytes here, too few for %q", a.keyword, a.kind, f.Name, f.Length, a.path)
			}
			t.field, t.offset, t.size = f, f.Offset+a.inner, a.size
		}
	}
	if t.field == nil {
		return t, fmt.Sprintf("%s %s has no field %q here", a.keyword, a.kind, a.path)
	}
	if difference := l.compare(a, t.field); difference != "" {
		return t, fmt.Sprintf("%s %s: field %q %s", a.keyword, a.kind, a.path, difference)
	}
	return t, ""
}

// compare says how the program's declaration of a field differs from the
// host's in more than its width.
func (l *loader) compare(a *coreAccess, f *Field) string {
	t, _, _ := l.btf.skip(a.typ)
	number := t.kind == btfInt || t.kind == btfEnum || t.kind == btfEnum64
	switch f.Type {
	case HandleField:
		if t.kind != btfPtr {
			return fmt.Sprintf("is a pointer to struct %s here, %s in the program", f.Of, l.btf.cName(a.typ))
		}
		to, _, name := l.btf.skip(t.ref)
		if i := strings.Index(name, "___"); i > 0 {
			name = name[:i]
		}
		if to.kind != btfStruct && to.kind != btfFwd || name != f.Of {
			return fmt.Sprintf("is a pointer to struct %s here, %s in the program", f.Of, l.btf.cName(a.typ))
		}
	case AddressField:
		if t.kind != btfPtr && !number {
			return fmt.Sprintf("is an address here, %s in the program", l.btf.cName(a.typ))
		}
	case BytesField:
		if a.array == "" && a.size > f.Length {
			return fmt.Sprintf("has %d bytes here, %d in the program", f.Length, a.size)
		}
	case ScalarField:
		if !number {
			return fmt.Sprintf("is a number here, %s in the program", l.btf.cName(a.typ))
		}
		// Enums say nothing of their sign before clang 16, and that of a
		// character or truth value is an accident.
		if t.kind == btfInt && t.ref > 1 && t.intSigned() != f.Signed && !t.intBool() {
			return fmt.Sprintf("is %s here, not in the program", map[bool]string{true: "signed", false: "unsigned"}[f.Signed])
		}
	}
	return ""
}

// relocateField resolves and applies one relocation. missing is what makes the
// instruction unusable if it can be reached; err refuses the object at once.
func (l *loader) relocateField(r coreRelo) (missing, err error) {
	t, problem := l.resolve(&r.coreAccess)
	var local, value uint32 // what the instruction has now and what it gets
	switch r.form {
	case coreTypeIDLocal, coreTypeIDTarget:
		return nil, l.codeError(r.slot, r.kind, "CO-RE relocation %v of %s %s: type identifiers are not supported", r.form, r.keyword, r.kind)
	case coreEnumExists:
		// The host describes structures only.
		local, value = 1, 0
	case coreEnumValue:
		return l.codeError(r.slot, r.path, "enum %s has no value %q here", r.kind, r.path), nil
	case coreTypeExists, coreTypeSize, coreTypeMatches:
		local, value = l.typeValue(r, t)
	case coreFieldExists:
		local, value = 1, uint32(boolInt(problem == ""))
	case coreByteOffset, coreByteSize, coreSigned, coreLShift, coreRShift:
		if problem == "" && r.bitField {
			problem = fmt.Sprintf("%s %s: field %q is a bit-field in the program, which the host has none of", r.keyword, r.kind, r.path)
		}
		if problem != "" {
			return l.codeError(r.slot, r.symbol(), "%s", problem), nil
		}
		if r.form == coreByteOffset {
			return nil, l.relocateOffset(r, t)
		}
		local, value = l.fieldValue(r, t)
	default:
		return nil, l.codeError(r.slot, r.kind, "CO-RE relocation of unknown %v", r.form)
	}
	return nil, l.patchValue(r, local, value)
}

func (r *coreRelo) symbol() string {
	if r.path == "" {
		return r.kind
	}
	return r.kind + "." + r.path
}

// typeValue answers relocations of whole types; all of them read as 0 if the
// host has no such type.
func (l *loader) typeValue(r coreRelo, t coreTarget) (local, value uint32) {
	switch r.form {
	case coreTypeSize:
		if t.kind != nil {
			value = t.kind.Size
		}
		return r.size, value
	case coreTypeMatches:
		return 1, uint32(boolInt(t.kind != nil && l.matches(&r.coreAccess)))
	}
	return 1, uint32(boolInt(t.kind != nil))
}

// matches reports whether every member of the program's structure has a
// counterpart of the same width.
func (l *loader) matches(a *coreAccess) bool {
	t, id, _ := l.btf.skip(a.root)
	if t.kind != btfStruct && t.kind != btfUnion {
		return false
	}
	for i := range t.vlen {
		m := coreAccess{kind: a.kind, keyword: a.keyword, root: id, typ: id}
		if l.follow(&m, "0:"+strconv.Itoa(i)) != "" || m.bitField {
			return false
		}
		if target, problem := l.resolve(&m); problem != "" || target.size != m.size {
			return false
		}
	}
	return true
}

// fieldValue answers relocations of a field other than of its offset. The
// shifts extract a field from the 64-bit word that starts with it.
func (l *loader) fieldValue(r coreRelo, t coreTarget) (local, value uint32) {
	switch r.form {
	case coreByteSize:
		return r.size, t.size
	case coreSigned:
		lt, _, _ := l.btf.skip(r.typ)
		signed := lt.kind == btfInt && lt.intSigned() || (lt.kind == btfEnum || lt.kind == btfEnum64) && lt.flag
		return uint32(boolInt(signed)), uint32(boolInt(t.signed))
	}
	return 64 - 8*min(r.size, 8), 64 - 8*min(t.size, 8)
}

// patchValue puts a value into an instruction's immediate.
func (l *loader) patchValue(r coreRelo, local, value uint32) error {
	ins := &l.obj.Code[r.slot]
	immediate := ins.IsLoadImm64() || ins.IsALU() && ins.Source() == SrcK
	// The sign of an enum is in no BTF before clang 16.
	if !immediate || uint32(ins.Imm) != local && r.form != coreSigned {
		return l.codeError(r.slot, r.symbol(), "the instruction does not fit its CO-RE relocation %v of %s %s", r.form, r.keyword, r.symbol())
	}
	ins.Imm = int32(value)
	l.use(r)
	return nil
}

func (l *loader) use(r coreRelo) {
	l.obj.Fields = append(l.obj.Fields, FieldUse{Slot: r.slot, Kind: r.kind, Field: r.path, Form: r.form.String()})
}

// relocateOffset puts the host's offset of a field into an access or into the
// computation of an address.
func (l *loader) relocateOffset(r coreRelo, t coreTarget) error {
	ins := &l.obj.Code[r.slot]
	refuse := func(format string, args ...any) error {
		return l.codeError(r.slot, r.symbol(), "%s %s: field %q %s", r.keyword, r.kind, r.path, fmt.Sprintf(format, args...))
	}
	if t.offset > math.MaxInt16 {
		return refuse("is %d bytes from the start, too far", t.offset)
	}
	sameWidth := t.size == r.size || t.field == nil || t.field.Type == BytesField
	switch ins.Class() {
	case ClassLDX, ClassST, ClassSTX:
		if int64(ins.Off) != int64(r.offset) || ins.Mode() != ModeMEM && ins.Mode() != ModeMEMSX && ins.Mode() != ModeATOMIC {
			return refuse("does not fit its instruction")
		}
		if !sameWidth {
			if !l.narrow(ins, r, t) {
				return refuse("has %d bytes here, %d in the program", t.size, r.size)
			}
			ins.Op = ins.Op&^0x18 | sizeCode(uint8(t.size))
		}
		ins.Off = int16(t.offset)
	case ClassALU, ClassALU64, ClassLD:
		if !ins.IsLoadImm64() && (ins.Class() == ClassLD || ins.Source() != SrcK) || int64(ins.Imm) != int64(r.offset) {
			return refuse("does not fit its instruction")
		}
		if !sameWidth {
			return refuse("has %d bytes here, %d in the program", t.size, r.size)
		}
		ins.Imm = int32(t.offset)
	default:
		return refuse("does not fit its instruction")
	}
	l.use(r)
	return nil
}

// narrow reports whether a load of the program's whole field, made as narrow
// as the host's, yields the same: both are unsigned, and loads zero-extend.
func (l *loader) narrow(ins *Instruction, r coreRelo, t coreTarget) bool {
	lt, _, _ := l.btf.skip(r.typ)
	signed := lt.kind == btfInt && lt.intSigned()
	return ins.Class() == ClassLDX && ins.Mode() == ModeMEM && uint32(ins.Size()) == r.size &&
		t.size < r.size && !signed && !t.signed && t.field.Type != HandleField &&
		(t.size == 1 || t.size == 2 || t.size == 4)
}

// sizeCode is the inverse of Instruction.Size.
func sizeCode(n uint8) uint8 {
	switch n {
	case 1:
		return SizeB
	case 2:
		return SizeH
	case 4:
		return SizeW
	}
	return SizeDW
}

// neutralize replaces an instruction that is never reached, and whose field
// does not exist, by one without meaning.
func neutralize(code []Instruction, slot int) {
	switch ins := &code[slot]; ins.Class() {
	case ClassST, ClassSTX, ClassJMP, ClassJMP32:
		*ins = Instruction{Op: OpJA}
	case ClassLD:
		ins.Imm = 0
	default:
		*ins = Instruction{Op: OpMov64Imm, Dst: ins.Dst}
	}
}
