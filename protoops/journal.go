package protoops

import (
	"slices"
	"unsafe"
)

const (
	// maxJournal bounds the writes one pluglet, and those it runs, may keep
	// undoable. Entries take 32 bytes, so a journal stays below 256 KiB.
	maxJournal = 8192
	// keepJournal is the capacity kept for the next pluglet.
	keepJournal = 64
)

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
	case c.ch.active == nil:
		return ErrNotRunning
	case c.observes:
		return ErrReadOnly
	}
	if err := c.ch.table.record(c.mark, p, k, c.ch.active.owner); err != nil {
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
	return nil
}

// commit forgets all writes: the outermost pluglet has succeeded.
func (t *Table) commit() {
	if cap(t.journal) > keepJournal {
		t.journal = nil
		return
	}
	clear(t.journal)
	t.journal = t.journal[:0]
}

// undo takes back what owner wrote since mark, newest first. Writes of other
// plugins stay: where one of them came later to the same place its value stands,
// and undoing that in turn will restore what was there before owner's write.
func (t *Table) undo(mark int, owner *Attachment) {
	j := t.journal
	stay := len(j) // j[stay:] are the entries after j[i] that stay
	for i := len(j) - 1; i >= mark; i-- {
		e := j[i]
		if e.owner != owner {
			stay--
			j[stay] = e
		} else if later := sameWord(j[stay:], &e); later != nil {
			later.old = e.old
		} else {
			store(e.p, e.kind, e.old)
		}
	}
	t.journal = slices.Delete(j, mark, stay)
	if len(t.journal) == 0 {
		t.commit()
	}
}

// sameWord returns the first entry about the word that e is about.
func sameWord(entries []entry, e *entry) *entry {
	for i := range entries {
		if entries[i].p == e.p && entries[i].kind == e.kind {
			return &entries[i]
		}
	}
	return nil
}
