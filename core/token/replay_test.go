package token

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// nonces returns n nonces that never repeat.
func nonces(seed uint64, n int) [][nonceLen]byte {
	random := seeded(seed)
	out := make([][nonceLen]byte, n)
	for i := range out {
		random(out[i][:])
	}
	return out
}

func TestReplayGuardAcceptsOnce(t *testing.T) {
	const capacity = 4096
	g := NewReplayGuard(time.Hour, capacity)
	used := nonces(1, capacity)
	refused := 0
	for i, n := range used {
		// Spread over the hour that ends now.
		issued := testNow.Add(-time.Duration(i) * time.Hour / capacity)
		if !g.use(issued, n) {
			refused++
		}
	}
	if limit := capacity / 50; refused > limit {
		t.Errorf("%d of %d new tokens refused, want at most %d", refused, capacity, limit)
	}
	for i, n := range used {
		issued := testNow.Add(-time.Duration(i) * time.Hour / capacity)
		if g.use(issued, n) {
			t.Fatalf("token %d accepted twice", i)
		}
	}
}

// Beyond its capacity a guard refuses more and more, but accepts nothing twice
// and takes no more memory.
func TestReplayGuardOverload(t *testing.T) {
	g := NewReplayGuard(time.Hour, 64)
	all := nonces(2, 20000)
	accepted := make([]bool, len(all))
	for i, n := range all {
		accepted[i] = g.use(testNow, n)
	}
	if accepted[len(all)-1] && accepted[len(all)-2] && accepted[len(all)-3] {
		t.Error("a guard for 64 uses still accepts after 20000")
	}
	for i, n := range all {
		if g.use(testNow, n) {
			t.Fatalf("token %d accepted twice", i)
		}
	}
	slices := 0
	for i := range g.slices {
		if s := g.slices[i].Load(); s != nil {
			slices++
			if uint64(len(s.words)) != g.words {
				t.Errorf("a slice has grown to %d words from %d", len(s.words), g.words)
			}
		}
	}
	if slices != 1 {
		t.Errorf("%d slices for one moment of issue", slices)
	}
}

// Tokens of a slice that has been dropped are refused, not accepted again.
func TestReplayGuardForgets(t *testing.T) {
	const lifetime = 4 * time.Second
	g := NewReplayGuard(lifetime, 64)
	n := nonces(3, 100)
	base := mono.Time(100 * time.Second)
	for i := range n {
		issued := base.Add(time.Duration(i) * time.Second)
		if !g.use(issued, n[i]) {
			t.Fatalf("token %d refused", i)
		}
		for j := range i + 1 {
			if g.use(base.Add(time.Duration(j)*time.Second), n[j]) {
				t.Fatalf("at %d s: token issued at %d s accepted twice", i, j)
			}
		}
		// A lifetime, and a clock ahead, after the oldest slice.
		if i >= slicesPerLifetime {
			fresh := nonces(uint64(1000+i), 1)[0]
			if !g.use(issued.Add(-lifetime), fresh) {
				t.Fatalf("at %d s: token at the end of its life refused", i)
			}
		}
	}
	if g.use(-5*lifetimeOf(g), nonces(4, 1)[0]) {
		t.Error("token issued before the epoch accepted")
	}
}

func lifetimeOf(g *ReplayGuard) mono.Time { return mono.Time(g.sliceLen * slicesPerLifetime) }

func TestReplayGuardSize(t *testing.T) {
	for _, c := range []struct {
		capacity int
		bytes    uint64 // at most, all slices
	}{{0, 192 << 10}, {1, 6 * 8}, {1000, 6000}, {1 << 30, 6 * 32 << 20}} {
		g := NewReplayGuard(0, c.capacity)
		if got := g.words * 8 * sliceCount; got > c.bytes {
			t.Errorf("capacity %d takes %d bytes, want at most %d", c.capacity, got, c.bytes)
		}
		if g.sliceLen*slicesPerLifetime != DefaultNewLifetime {
			t.Errorf("slices of %v", g.sliceLen)
		}
	}
}

// Whatever the number of workers, one of them gets to use a token. Slices are
// replaced meanwhile.
func TestReplayGuardConcurrentUse(t *testing.T) {
	const workers, tokens = 8, 3000
	g := NewReplayGuard(4*time.Second, 1<<14)
	all := nonces(5, tokens)
	var accepted [tokens]atomic.Int32
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i, n := range all {
				issued := testNow.Add(time.Duration(i) * 4 * time.Millisecond)
				if g.use(issued, n) {
					accepted[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	none := 0
	for i := range accepted {
		switch n := accepted[i].Load(); {
		case n == 0:
			none++
		case n > 1:
			t.Fatalf("token %d accepted %d times", i, n)
		}
	}
	if none > tokens/50 {
		t.Errorf("%d of %d tokens accepted by nobody", none, tokens)
	}
}

func TestReplayGuardAllocations(t *testing.T) {
	g := NewReplayGuard(time.Hour, 64)
	var n [nonceLen]byte
	g.use(testNow, n)
	i := uint64(0)
	if got := testing.AllocsPerRun(100, func() {
		i++
		binary.LittleEndian.PutUint64(n[:], i)
		g.use(testNow, n)
	}); got != 0 {
		t.Errorf("%v allocations per use, want 0", got)
	}
}
