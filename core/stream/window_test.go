package stream

import (
	"errors"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

func TestWindowMovesByQuarters(t *testing.T) {
	w := NewWindow(1000, 1000)
	for _, test := range []struct {
		consumed, max uint64
		update        bool
	}{
		{0, 1000, false},
		{249, 1000, false},
		{250, 1250, true},
		{250, 1250, false},
		{499, 1250, false},
		{1000, 2000, true},
	} {
		if v, update := w.Update(1, 0, test.consumed); v != test.max || update != test.update || w.Max != test.max {
			t.Errorf("consumed %d: Update = %d, %v, want %d, %v", test.consumed, v, update, test.max, test.update)
		}
	}
}

func TestWindowAutoTuning(t *testing.T) {
	const rtt = 10 * time.Millisecond
	w := NewWindow(1000, 3000)
	now := mono.Time(time.Second)
	var consumed uint64
	step := func(what string, after time.Duration, n, wantSize uint64) {
		t.Helper()
		now = now.Add(after)
		consumed += n
		w.Update(now, rtt, consumed)
		if w.Size != wantSize {
			t.Errorf("%s: window %d, want %d", what, w.Size, wantSize)
		}
		if w.Max != consumed+w.Size {
			t.Errorf("%s: limit %d, want %d", what, w.Max, consumed+w.Size)
		}
	}
	step("first update has no epoch yet", 0, 600, 1000)
	step("half a window in two round trips", 20*time.Millisecond, 500, 1000)
	step("in less", 19*time.Millisecond, 500, 2000)
	step("slowly", 50*time.Millisecond, 1000, 2000)
	step("up to the limit", 5*time.Millisecond, 1000, 3000)
	step("never beyond", 5*time.Millisecond, 1500, 3000)

	w = NewWindow(1000, 4000)
	w.Widen(2500)
	w.Widen(100)
	if w.Size != 2500 {
		t.Errorf("widened to %d, want 2500", w.Size)
	}
	w.Widen(9000)
	if w.Size != 4000 {
		t.Errorf("widened to %d, want the limit 4000", w.Size)
	}
	fixed := NewWindow(1000, 0)
	fixed.Widen(5000)
	if fixed.Size != 1000 {
		t.Errorf("a fixed window widened to %d", fixed.Size)
	}
}

func TestWindowStopsAtLargestOffset(t *testing.T) {
	w := Window{Max: maxOffset - 100, Size: 1000, Limit: 1000}
	if v, update := w.Update(1, 0, maxOffset-100); v != maxOffset-100 || update {
		t.Errorf("Update = %#x, %v: too small a step to announce", v, update)
	}
	w.Max = maxOffset - 900
	if v, update := w.Update(1, 0, maxOffset-900); v != maxOffset || !update {
		t.Errorf("Update = %#x, %v, want 2^62-1", v, update)
	}
}

func TestConnectionWindow(t *testing.T) {
	w := NewWindow(1000, 1000)
	if err := w.Charge(600); err != nil {
		t.Fatal(err)
	}
	if err := w.Charge(401); !errors.Is(err, ErrFlowControl) || w.Received != 600 {
		t.Errorf("beyond the limit: %v, %d counted", err, w.Received)
	}
	if err := w.Charge(400); err != nil || w.Received != 1000 {
		t.Errorf("up to the limit: %v, %d counted", err, w.Received)
	}
	if err := w.Charge(1<<64 - 1); !errors.Is(err, ErrFlowControl) {
		t.Errorf("overflow: %v", err)
	}
}
