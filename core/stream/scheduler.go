package stream

import (
	"fmt"
	"slices"
	"strings"
)

// The RFC 9218 defaults.
// https://www.rfc-editor.org/rfc/rfc9218#section-4
const (
	DefaultUrgency = 3
	LowestUrgency  = 7 // urgency 0 is the most urgent

	// DefaultWeight is the weight an Entry with Weight 0 counts as.
	DefaultWeight = 16
)

// Quantum is how many bytes an entry may send before its turn passes to the
// next, at the default weight: a few packets, so that losing one packet hurts
// one stream, yet nobody waits long.
const Quantum = 4096

// An Entry is one stream's place in a scheduler. It is in at most one Scheduler
// or Queue at a time.
type Entry struct {
	ID    uint64 // stream ID
	Owner any    // whatever the caller wants back

	// Urgency and Incremental are RFC 9218's; Prioritized says that the
	// application has chosen them. Change them with SetPriority, then call
	// Reprioritize.
	Urgency     uint8
	Incremental bool
	Prioritized bool
	// Weight is this stream's share under "prio", and its rank among equally
	// urgent ones under "sprio"; 0 counts as DefaultWeight.
	Weight uint16

	place      place
	level      uint8 // urgency under which it is filed
	heapIndex  int32
	deficit    int64 // bytes left in this turn
	next, prev *Entry
}

// place says which structure holds an entry.
type place uint8

const (
	nowhere place = iota
	inRing
	inHeap
	inQueue
)

// Init makes e the entry of stream id with default priority.
func (e *Entry) Init(id uint64, owner any) {
	*e = Entry{ID: id, Owner: owner, Urgency: DefaultUrgency}
}

// SetPriority stores the application's choice; an urgency above 7 counts as 7.
// A scheduler that holds e must then be told by Reprioritize.
func (e *Entry) SetPriority(urgency uint8, incremental bool) {
	e.Urgency, e.Incremental, e.Prioritized = min(urgency, LowestUrgency), incremental, true
}

// Ready reports whether a Scheduler holds e.
func (e *Entry) Ready() bool { return e.place == inRing || e.place == inHeap }

func (e *Entry) weight() int64 {
	if e.Weight == 0 {
		return DefaultWeight
	}
	return int64(e.Weight)
}

// A Scheduler says which of the streams that have something to send goes next.
// The caller marks a stream Ready when it has and Idle when it has not, or when
// flow control blocks it; a blocked stream left in the scheduler would hold up
// the others.
type Scheduler interface {
	// Name returns the name NewScheduler knows it by.
	Name() string
	// Ready adds e; no effect if it is in already.
	Ready(e *Entry)
	// Idle removes e; no effect if it is not in.
	Idle(e *Entry)
	// Next returns the entry whose turn it is, nil if there is none. It stays
	// where it is until Sent, Ready, Idle or Reprioritize change something.
	Next() *Entry
	// Sent says that n bytes of e were sent, 0 for a lone FIN. The turn may
	// pass.
	Sent(e *Entry, n int)
	// Reprioritize files e anew after its priority changed.
	Reprioritize(e *Entry)
	// Len returns the number of ready entries.
	Len() int
}

var schedulers = map[string]func() Scheduler{
	"rr":    func() Scheduler { return new(roundRobin) },
	"prio":  func() Scheduler { return newWeighted() },
	"sprio": func() Scheduler { return newStrict() },
}

// SchedulerNames returns the names NewScheduler knows, sorted.
func SchedulerNames() []string {
	names := make([]string, 0, len(schedulers))
	for name := range schedulers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// NewScheduler returns a new scheduler:
//
//   - "rr", or the empty name: by RFC 9218 urgency; streams of the same urgency
//     share it byte by byte in turn, except that those the application declared
//     non-incremental are served one after the other, lowest stream ID first.
//   - "prio": everybody's turn comes, with bytes in proportion to Weight.
//   - "sprio": strictly by urgency, then weight, then stream ID; others starve.
//
// The error for any other name lists these.
func NewScheduler(name string) (Scheduler, error) {
	if name == "" {
		name = "rr"
	}
	if make, ok := schedulers[name]; ok {
		return make(), nil
	}
	return nil, fmt.Errorf("stream: no scheduler %q; there are %s", name, strings.Join(SchedulerNames(), ", "))
}

// turns is a circular list of entries; the first has the turn.
type turns struct{ first *Entry }

// add puts e behind all others.
func (t *turns) add(e *Entry) {
	if t.first == nil {
		e.next, e.prev = e, e
		t.first = e
		return
	}
	last := t.first.prev
	e.prev, e.next = last, t.first
	last.next, t.first.prev = e, e
}

// drop takes e out; if it was the first, the next one is.
func (t *turns) drop(e *Entry) {
	if e.next == e {
		t.first = nil
	} else {
		e.prev.next, e.next.prev = e.next, e.prev
		if t.first == e {
			t.first = e.next
		}
	}
	e.next, e.prev = nil, nil
}

// deficitRing gives each entry turns worth a number of bytes, by deficit round
// robin: who sends beyond its turn, because a frame is not divisible, has less
// in the next ones.
type deficitRing struct {
	turns
	weighted bool // turns are in proportion to Weight
}

func (r *deficitRing) add(e *Entry) {
	e.deficit = 0
	r.turns.add(e)
	if r.first == e {
		r.open()
	}
}

func (r *deficitRing) drop(e *Entry) {
	had := r.first == e
	r.turns.drop(e)
	if had {
		r.open()
	}
}

// sent takes n bytes from e's turn, and ends the turn when it is used up.
func (r *deficitRing) sent(e *Entry, n int) {
	e.deficit -= int64(n)
	if e.deficit <= 0 && r.first == e {
		r.first = e.next
		r.open()
	}
}

// open begins the first entry's turn, or that of the first behind it that has
// paid back what it sent too much.
func (r *deficitRing) open() {
	for r.first != nil {
		r.first.deficit += r.quantum(r.first)
		if r.first.deficit > 0 {
			return
		}
		r.first = r.first.next
	}
}

func (r *deficitRing) quantum(e *Entry) int64 {
	if !r.weighted {
		return Quantum
	}
	return Quantum * e.weight() / DefaultWeight
}

// A Queue is a first-in-first-out list of entries that are in no scheduler, for
// streams that wait for connection flow control. Its zero value is empty.
type Queue struct {
	list turns
	n    int
}

// Push appends e; no effect if a scheduler or queue holds it.
func (q *Queue) Push(e *Entry) {
	if e.place == nowhere {
		q.list.add(e)
		e.place = inQueue
		q.n++
	}
}

// Pop removes and returns the first entry, nil if there is none.
func (q *Queue) Pop() *Entry {
	e := q.list.first
	q.Remove(e)
	return e
}

// Remove takes e out; no effect if it is not in a queue. e must not be in
// another one.
func (q *Queue) Remove(e *Entry) {
	if e != nil && e.place == inQueue {
		q.list.drop(e)
		e.place = nowhere
		q.n--
	}
}

// Len returns the number of entries.
func (q *Queue) Len() int { return q.n }
