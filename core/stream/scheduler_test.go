package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func newScheduler(t testing.TB, name string) Scheduler {
	s, err := NewScheduler(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func entry(id uint64) *Entry {
	e := new(Entry)
	e.Init(id, nil)
	return e
}

func prioritized(id uint64, urgency uint8, incremental bool) *Entry {
	e := entry(id)
	e.SetPriority(urgency, incremental)
	return e
}

// serve sends n frames of size bytes and returns the bytes each stream got.
func serve(s Scheduler, n, size int) map[uint64]int {
	got := map[uint64]int{}
	for range n {
		e := s.Next()
		if e == nil {
			break
		}
		got[e.ID] += size
		s.Sent(e, size)
	}
	return got
}

// order serves entries that each have need bytes, until all are done, and
// returns the order in which they finish.
func order(s Scheduler, need int) string {
	left := map[*Entry]int{}
	var done []string
	for s.Len() > 0 {
		e := s.Next()
		if _, ok := left[e]; !ok {
			left[e] = need
		}
		n := min(1000, left[e])
		left[e] -= n
		s.Sent(e, n)
		if left[e] == 0 {
			s.Idle(e)
			done = append(done, fmt.Sprint(e.ID))
		}
	}
	return strings.Join(done, " ")
}

func wantShare(t *testing.T, what string, got, want int) {
	t.Helper()
	if d := got - want; d > 2*Quantum || d < -2*Quantum {
		t.Errorf("%s: %d bytes, want about %d", what, got, want)
	}
}

func TestSchedulerNames(t *testing.T) {
	if got := strings.Join(SchedulerNames(), " "); got != "prio rr sprio" {
		t.Errorf("names: %s", got)
	}
	for _, name := range SchedulerNames() {
		if got := newScheduler(t, name).Name(); got != name {
			t.Errorf("scheduler %q calls itself %q", name, got)
		}
	}
	if got := newScheduler(t, "").Name(); got != "rr" {
		t.Errorf("default scheduler is %q", got)
	}
	if _, err := NewScheduler("fifo"); err == nil || !strings.Contains(err.Error(), "prio, rr, sprio") {
		t.Errorf("unknown name: %v, want an error that lists the names", err)
	}
}

func TestRoundRobinSharesBytes(t *testing.T) {
	s := newScheduler(t, "rr")
	a, b, c := entry(0), entry(4), entry(8)
	s.Ready(a)
	s.Ready(b)
	s.Ready(c)
	// Frames of one stream are small, yet it gets its bytes.
	got := map[uint64]int{}
	for range 3000 {
		e := s.Next()
		n := 1200
		if e == b {
			n = 100
		}
		got[e.ID] += n
		s.Sent(e, n)
	}
	wantShare(t, "small frames", got[4], got[0])
	wantShare(t, "third stream", got[8], got[0])
}

func TestUrgencyComesFirst(t *testing.T) {
	s := newScheduler(t, "rr")
	s.Ready(prioritized(0, 5, true))
	s.Ready(prioritized(4, 200, false)) // counts as 7
	s.Ready(entry(8))
	s.Ready(prioritized(12, 1, false))
	if got := order(s, 5000); got != "12 8 0 4" {
		t.Errorf("served %s, want 12 8 0 4", got)
	}
}

func TestNonIncrementalIsServedByID(t *testing.T) {
	s := newScheduler(t, "rr")
	for _, id := range []uint64{12, 4, 8, 0} {
		s.Ready(prioritized(id, 3, false))
	}
	if got := order(s, 20000); got != "0 4 8 12" {
		t.Errorf("served %s, want 0 4 8 12", got)
	}
}

func TestIncrementalAndNotShareALevel(t *testing.T) {
	s := newScheduler(t, "rr")
	s.Ready(prioritized(0, 3, false))
	s.Ready(prioritized(4, 3, false))
	s.Ready(prioritized(8, 3, true))
	s.Ready(prioritized(12, 3, true))
	got := serve(s, 3000, 1000)
	if got[4] != 0 {
		t.Errorf("the second non-incremental stream got %d bytes before the first was done", got[4])
	}
	for _, id := range []uint64{0, 8, 12} {
		wantShare(t, fmt.Sprint("stream ", id), got[id], 1000*1000)
	}
}

func TestReprioritize(t *testing.T) {
	s := newScheduler(t, "rr")
	a, b := entry(0), entry(4)
	s.Ready(a)
	s.Ready(b)
	b.SetPriority(0, false)
	s.Reprioritize(b)
	if s.Next() != b || s.Len() != 2 {
		t.Error("a more urgent stream is not next")
	}
	b.SetPriority(7, true)
	s.Reprioritize(b)
	if s.Next() != a {
		t.Error("a less urgent stream is still next")
	}
	s.Idle(a)
	s.Reprioritize(a)
	if s.Len() != 1 || a.Ready() {
		t.Error("reprioritizing an idle stream made it ready")
	}
}

// TestBlockedStreamIsSkipped: who is idle, because flow control blocks it, does
// not hold up the others, and a lone FIN costs no turn.
func TestBlockedStreamIsSkipped(t *testing.T) {
	for _, name := range SchedulerNames() {
		s := newScheduler(t, name)
		blocked, fin, bulk := entry(0), entry(4), entry(8)
		s.Ready(blocked)
		s.Ready(fin)
		s.Ready(bulk)
		if s.Next() != blocked {
			t.Fatalf("%s: stream %d is next", name, s.Next().ID)
		}
		s.Idle(blocked)
		if s.Next() != fin {
			t.Fatalf("%s: stream %d is next", name, s.Next().ID)
		}
		s.Sent(fin, 0)
		s.Idle(fin)
		s.Sent(fin, 0)
		if got := serve(s, 10, 1000); got[8] != 10000 {
			t.Errorf("%s: bulk stream got %d bytes", name, got[8])
		}
		s.Idle(bulk)
		if s.Next() != nil || s.Len() != 0 {
			t.Errorf("%s: not empty", name)
		}
	}
}

func TestWeightedShares(t *testing.T) {
	s := newScheduler(t, "prio")
	a, b, c := entry(0), entry(4), entry(8)
	a.Weight, c.Weight = 1, 47 // b has the default, 16
	for _, e := range []*Entry{a, b, c} {
		s.Ready(e)
	}
	got := serve(s, 6400, 1000)
	wantShare(t, "weight 1", got[0], 100*1000)
	wantShare(t, "weight 16", got[4], 1600*1000)
	wantShare(t, "weight 47", got[8], 4700*1000)
}

func TestStrictOrder(t *testing.T) {
	s := newScheduler(t, "sprio")
	heavy := prioritized(16, 3, true)
	heavy.Weight = 20
	for _, e := range []*Entry{prioritized(12, 3, true), prioritized(8, 7, true), heavy, prioritized(4, 3, true), prioritized(20, 0, false)} {
		s.Ready(e)
	}
	if got := order(s, 20000); got != "20 16 4 12 8" {
		t.Errorf("served %s, want 20 16 4 12 8", got)
	}
	a, b := entry(0), entry(4)
	s.Ready(a)
	s.Ready(b)
	b.SetPriority(1, false)
	s.Reprioritize(b)
	if s.Next() != b {
		t.Error("a more urgent stream is not next")
	}
}

// TestSchedulerAgainstSet compares membership with a set under random calls,
// and that Next always serves a most urgent member (except "prio").
func TestSchedulerAgainstSet(t *testing.T) {
	for _, name := range SchedulerNames() {
		rnd := rand.New(rand.NewPCG(5, 5))
		s := newScheduler(t, name)
		all := make([]*Entry, 40)
		for i := range all {
			all[i] = entry(uint64(4 * i))
		}
		ready := map[*Entry]bool{}
		for range 20000 {
			e := all[rnd.IntN(len(all))]
			switch rnd.IntN(5) {
			case 0:
				s.Ready(e)
				ready[e] = true
			case 1:
				s.Idle(e)
				delete(ready, e)
			case 2:
				e.SetPriority(uint8(rnd.IntN(8)), rnd.IntN(2) == 0)
				e.Weight = uint16(rnd.IntN(40))
				s.Reprioritize(e)
			case 3:
				s.Sent(e, rnd.IntN(10000))
			case 4:
				if e := s.Next(); e != nil {
					s.Sent(e, rnd.IntN(3000))
				}
			}
			next := s.Next()
			if s.Len() != len(ready) || (next == nil) != (len(ready) == 0) || next != nil && !ready[next] {
				t.Fatalf("%s: %d ready (want %d), next %v", name, s.Len(), len(ready), next)
			}
			for r := range ready {
				if name == "rr" && r.Urgency < next.Urgency || name == "sprio" && moreUrgent(r, next) {
					t.Fatalf("%s: stream %d of urgency %d is next, %d has %d", name, next.ID, next.Urgency, r.ID, r.Urgency)
				}
			}
		}
		for _, e := range all {
			s.Idle(e)
		}
		if s.Len() != 0 || s.Next() != nil {
			t.Errorf("%s: not empty in the end", name)
		}
	}
}

// TestHeapStaysInOrder removes entries from the middle, then drains the rest.
func TestHeapStaysInOrder(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		s := newScheduler(t, "sprio")
		all := make([]*Entry, 60)
		for i, id := range rnd.Perm(len(all)) {
			all[i] = entry(uint64(id))
			s.Ready(all[i])
		}
		for _, i := range rnd.Perm(len(all))[:30] {
			s.Idle(all[i])
		}
		var last *Entry
		for e := s.Next(); e != nil; e = s.Next() {
			if last != nil && e.ID < last.ID {
				t.Fatalf("seed %d: stream %d after %d", seed, e.ID, last.ID)
			}
			last = e
			s.Idle(e)
		}
	}
}

func TestQueue(t *testing.T) {
	var q Queue
	s := newScheduler(t, "rr")
	a, b, c := entry(0), entry(4), entry(8)
	s.Ready(a)
	q.Push(a)
	q.Push(b)
	q.Push(c)
	q.Push(b)
	s.Ready(b)
	if q.Len() != 2 || s.Len() != 1 {
		t.Errorf("%d queued, %d ready: an entry is in two places", q.Len(), s.Len())
	}
	q.Remove(a)
	q.Remove(b)
	q.Push(b)
	var got []uint64
	for e := q.Pop(); e != nil; e = q.Pop() {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, []uint64{8, 4}) || q.Len() != 0 {
		t.Errorf("popped %v, want [8 4]", got)
	}
}
