package protoops

import "unsafe"

// maxJournal bounds the writes one outermost chain may keep undoable. Entries
// take 32 bytes, so a connection's journal stays below 256 KiB.
const maxJournal = 8192

// An entry is one write that can still be undone.
type entry struct {
	p     unsafe.Pointer
	old   uint64
	kind  Kind
	owner *Attachment
}

// Write8 writes *p, which must be a legal thing for a plugin to write. The
// write is undone if the pluglet fails. It fails with ErrReadOnly under Pre and
// Post.
func (c *Call) Write8(p *uint8, v uint8) error { return c.write(unsafe.Pointer(p), U8, uint64(v)) }

// Write16 is Write8 for 16 bits.
func (c *Call) Write16(p *uint16, v uint16) error { return c.write(unsafe.Pointer(p), U16, uint64(v)) }

// Write32 is Write8 for 32 bits.
func (c *Call) Write32(p *uint32, v uint32) error { return c.write(unsafe.Pointer(p), U32, uint64(v)) }

// Write64 is Write8 for 64 bits.
func (c *Call) Write64(p *uint64, v uint64) error { return c.write(unsafe.Pointer(p), U64, v) }

func (c *Call) write(p unsafe.Pointer, k Kind, v uint64) error {
	switch {
	case c.h.active == nil:
		return ErrNotRunning
	case c.observes:
		return ErrReadOnly
	}
	if err := c.h.table.record(c.mark, p, k, c.h.active.owner); err != nil {
		return err
	}
	store(p, k, v)
	return nil
}

// record notes the word at p before it is overwritten. Only the first of several
// writes to one place in a row needs an entry.
func (t *Table) record(mark int, p unsafe.Pointer, k Kind, owner *Attachment) error {
	n := len(t.journal)
	if n > mark {
		if last := &t.journal[n-1]; last.p == p && last.kind == k && last.owner == owner {
			return nil
		}
	}
	if n == maxJournal {
		return ErrJournalFull
	}
	t.journal = append(t.journal, entry{p, load(p, k), k, owner})
	t.unsettled = true
	return nil
}

// undo takes back what owner wrote since mark, newest first. Writes of other
// plugins stay: where one of them came later to the same place its value stands,
// and undoing that in turn will restore what was there before owner's write.
func (t *Table) undo(mark int, owner *Attachment) {
	for i := len(t.journal) - 1; i >= mark; i-- {
		e := &t.journal[i]
		if e.owner != owner {
			continue
		}
		if later := t.laterWrite(i); later != nil {
			later.old = e.old
		} else {
			store(e.p, e.kind, e.old)
		}
		t.journal = append(t.journal[:i], t.journal[i+1:]...)
	}
}

func (t *Table) laterWrite(i int) *entry {
	e := &t.journal[i]
	for j := i + 1; j < len(t.journal); j++ {
		if l := &t.journal[j]; l.p == e.p && l.kind == e.kind {
			return l
		}
	}
	return nil
}
