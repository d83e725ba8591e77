package recovery

import (
	"math"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

func TestPacerUnlimited(t *testing.T) {
	var p Pacer
	now := mono.Time(time.Hour)
	p.Consume(now, 1<<40)
	if p.Budget(now) != math.MaxUint64 || p.NextTime(now, 1<<40) != now {
		t.Error("a pacer without a rate holds something back")
	}
}

func TestPacerBurstThenRate(t *testing.T) {
	p := Pacer{Rate: 1_000_000, Burst: 12000}
	now := mono.Time(time.Hour)
	if got := p.Budget(now); got != 12000 {
		t.Fatalf("first budget %d, want the burst", got)
	}
	p.Consume(now, 12000)
	if got := p.NextTime(now, 1200); got != now.Add(1200*time.Microsecond) {
		t.Errorf("next 1200 bytes after %v, want 1.2ms", got.Sub(now))
	}
	now = p.NextTime(now, 1200)
	if got := p.Budget(now); got != 1200 {
		t.Errorf("budget at that time %d, want 1200", got)
	}
	if got := p.Budget(now.Add(time.Hour)); got != 12000 {
		t.Errorf("budget after a pause %d, want the burst", got)
	}
	if got := p.NextTime(now.Add(time.Hour), 1<<30); got != now.Add(time.Hour) {
		t.Error("more than a burst is never available, so a burst must do")
	}
}

func TestPacerDebt(t *testing.T) {
	p := Pacer{Rate: 1_000_000, Burst: 10000}
	now := mono.Time(time.Hour)
	p.Consume(now, 15000)
	if got := p.NextTime(now, 1000); got != now.Add(6*ms) {
		t.Errorf("debt and 1000 bytes are paid after %v, want 6ms", got.Sub(now))
	}
	if got := p.Budget(now.Add(5 * ms)); got != 0 {
		t.Errorf("budget %d while in debt", got)
	}
}

// TestPacerKeepsExactRate asks in steps much shorter than one byte takes: no
// fraction may get lost.
func TestPacerKeepsExactRate(t *testing.T) {
	for _, rate := range []uint64{1000, 123_457, 1_250_000, 1_250_000_000, 12_500_000_000} {
		p := Pacer{Rate: rate, Burst: 100_000}
		now := mono.Time(time.Hour)
		p.Consume(now, p.Budget(now))
		var sent uint64
		end := now.Add(time.Duration(200_000 * uint64(time.Second) / rate))
		step := max(end.Sub(now)/100_003, 1)
		for now < end {
			now = now.Add(step)
			if n := p.Budget(now); n > 0 {
				p.Consume(now, n)
				sent += n
			}
		}
		want := float64(now.Sub(end)+time.Duration(200_000*uint64(time.Second)/rate)) * float64(rate) / 1e9
		if math.Abs(float64(sent)-want) > 1.5 {
			t.Errorf("rate %d: %d bytes left, want %.1f", rate, sent, want)
		}
	}
}

func TestPacerSetKeepsCredit(t *testing.T) {
	var p Pacer
	now := mono.Time(time.Hour)
	p.Set(now, 1_000_000, 10_000)
	if got := p.Budget(now); got != 10_000 {
		t.Errorf("budget of a pacer just given a rate: %d, want the burst", got)
	}
	p.Consume(now, 10_000)
	p.Set(now.Add(2*ms), 2_000_000, 20_000)
	if got := p.Budget(now.Add(2 * ms)); got != 2000 {
		t.Errorf("budget %d after a change of rate, want what the old rate earned", got)
	}
	if got := p.Budget(now.Add(3 * ms)); got != 4000 {
		t.Errorf("budget %d, want 4000", got)
	}
	p.Set(now.Add(3*ms), 2_000_000, 1500)
	if got := p.Budget(now.Add(3 * ms)); got != 1500 {
		t.Errorf("budget %d, want the smaller burst", got)
	}
}

func TestPacerExtremes(t *testing.T) {
	p := Pacer{Rate: math.MaxUint64, Burst: math.MaxUint64}
	now := mono.Time(1)
	for range 1000 {
		now = now.Add(time.Hour)
		p.Set(now, math.MaxUint64, math.MaxUint64)
		p.Budget(now)
		p.Consume(now, math.MaxUint64)
		if at := p.NextTime(now, math.MaxUint64); at < now {
			t.Fatalf("next time %v before now", at)
		}
	}
	p = Pacer{Rate: 1, Burst: 1200}
	p.Consume(now, 1<<32)
	if at := p.NextTime(now, 1200); at < now || at == mono.Never {
		t.Errorf("next time at one byte per second: %v", at)
	}
	if p.Budget(now.Add(-time.Hour)) != 0 {
		t.Error("a clock that goes back earns credit")
	}
}
