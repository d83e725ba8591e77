package vm

import (
	"encoding/binary"
	"slices"
	"sort"
)

// attachLines takes the line and function info of .BTF.ext over into the
// object.
func (l *loader) attachLines() error {
	if l.ext == nil {
		return nil
	}
	le := binary.LittleEndian
	texts := make(map[uint32]string) // one copy of a text, however many lines name it
	text := func(off uint32) string {
		s, ok := texts[off]
		if !ok {
			s = l.btf.text(off)
			texts[off] = s
		}
		return s
	}
	err := l.eachInfo(l.ext.lines, func(slot int, rec []byte) error {
		pos := le.Uint32(rec[12:])
		if pos>>10 == 0 {
			return nil // the compiler's own: it counts to the line before
		}
		l.obj.Lines = append(l.obj.Lines, Line{
			Slot:   slot,
			File:   text(le.Uint32(rec[4:])),
			Text:   text(le.Uint32(rec[8:])),
			Line:   int(pos >> 10),
			Column: int(pos & 0x3ff),
		})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(l.obj.Lines, func(a, b Line) int { return a.Slot - b.Slot })
	l.obj.Lines = slices.CompactFunc(l.obj.Lines, func(a, b Line) bool { return a.Slot == b.Slot })
	return l.eachInfo(l.ext.funcs, func(slot int, rec []byte) error {
		if f := &l.obj.Functions[l.obj.FunctionAt(slot)]; f.Start == slot && f.Prototype == "" {
			f.Prototype = l.btf.prototype(le.Uint32(rec[4:]))
		}
		return nil
	})
}

// text returns a string that may hold anything, such as a line of source: cut
// at a sensible length, without indentation, and safe to print.
func (s *btfSpec) text(off uint32) string {
	if uint64(off) >= uint64(len(s.strings)) {
		return ""
	}
	b := s.strings[off:]
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	if len(b) > maxTextLength {
		b = b[:maxTextLength]
	}
	if i := slices.Index(b, 0); i >= 0 {
		b = b[:i]
	}
	b = slices.Clone(b)
	for i, c := range b {
		if c == '\t' {
			b[i] = ' '
		} else if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// LineAt returns the source line that slot comes from; false without line
// info. The line is the last one at or before slot within its function.
func (o *Object) LineAt(slot int) (Line, bool) {
	i := sort.Search(len(o.Lines), func(i int) bool { return o.Lines[i].Slot > slot })
	f := o.FunctionAt(slot)
	if i == 0 || f < 0 || o.Lines[i-1].Slot < o.Functions[f].Start {
		return Line{}, false
	}
	return o.Lines[i-1], true
}
