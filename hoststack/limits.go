package hoststack

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
)

// Limits bound what peers can make a Listener hold. Zero fields mean defaults,
// negative ones no limit. Every refusal is counted in Stats and answered with
// CONNECTION_REFUSED. The limits on streams and buffers of one connection are
// in core.Config.
type Limits struct {
	// Connections is how many may be held at once; default 100,000.
	Connections int

	// Handshakes is how many may be in progress at once; default 4,096.
	Handshakes int

	// RetryAbove is how many handshakes may be in progress before clients have
	// to prove their address by a Retry; default 256, negative: always.
	RetryAbove int

	// Backlog is how many connections may wait for Accept; default 1,024.
	Backlog int

	// HandshakesPerAddress is how many handshakes per second one IPv4 address
	// or IPv6 /64 may begin, in the long run; default none. Beyond it clients
	// have to prove their address, and those that did are refused.
	HandshakesPerAddress float64

	// HandshakeBurst is how many may come at once; default 10.
	HandshakeBurst int

	// Memory is how many bytes the process's heap may hold before connections
	// are refused; default none.
	Memory int64
}

func (l *Limits) prepare() error {
	defaults := []struct {
		v *int
		d int
	}{{&l.Connections, 100_000}, {&l.Handshakes, 4096}, {&l.RetryAbove, 256}, {&l.Backlog, 1024}, {&l.HandshakeBurst, 10}}
	for _, f := range defaults {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if l.Backlog < 0 {
		return fmt.Errorf("hoststack: Limits.Backlog is %d, must be positive", l.Backlog)
	}
	return nil
}

// A refusal says which limit refuses a connection.
type refusal struct {
	reason string
	count  func(*workerStats) *atomic.Uint64
}

func (r *refusal) Error() string { return "hoststack: " + r.reason }

var (
	refusedConnections = &refusal{"too many connections", func(s *workerStats) *atomic.Uint64 { return &s.refusedConnections }}
	refusedRate        = &refusal{"too many handshakes from this address", func(s *workerStats) *atomic.Uint64 { return &s.refusedRate }}
	refusedMemory      = &refusal{"out of memory", func(s *workerStats) *atomic.Uint64 { return &s.refusedMemory }}
	refusedShutdown    = &refusal{"shutting down", func(s *workerStats) *atomic.Uint64 { return &s.refusedShutdown }}
)

// admission enforces Limits, for all workers of a Listener.
type admission struct {
	limits *Limits
	claims *addressTable // attempts from addresses not proven
	proven *addressTable // attempts from addresses that are

	memoryAt   atomic.Int64 // when memory was last looked at
	memoryFull atomic.Bool
}

func newAdmission(l *Limits) *admission {
	a := &admission{limits: l}
	if l.HandshakesPerAddress > 0 {
		a.claims = newAddressTable(l.HandshakesPerAddress, l.HandshakeBurst)
		a.proven = newAddressTable(l.HandshakesPerAddress, l.HandshakeBurst)
	}
	return a
}

// admit decides about a client before there is any state for it.
func (w *worker) admit(netip.AddrPort) bool {
	a := w.group.admission
	var r *refusal
	switch {
	case w.group.refusing():
		r = refusedShutdown
	case a.limits.Connections > 0 && w.group.conns.Load() >= int64(a.limits.Connections):
		r = refusedConnections
	case a.outOfMemory(w.now):
		r = refusedMemory
	default:
		return true
	}
	r.count(&w.stats).Add(1)
	return false
}

// wantRetry decides whether a client has to prove its address first. What it
// costs an attacker who makes up addresses is answered by Retry packets, and
// takes nothing from the clients whose addresses he used.
func (w *worker) wantRetry(remote netip.AddrPort) bool {
	a := w.group.admission
	retry := a.limits.RetryAbove < 0 || a.claims != nil && !a.claims.take(remote.Addr(), w.now)
	if retry {
		w.stats.retries.Add(1)
	}
	return retry
}

// accept is called by the engine for each connection a client begins; an error
// refuses it.
func (w *worker) accept(cc *core.Conn) error {
	a := w.group.admission
	if a.proven != nil && cc.Paths()[0].Validated != 0 && !a.proven.take(cc.RemoteAddr().Addr(), w.now) {
		w.stats.refusedRate.Add(1)
		return refusedRate
	}
	c := newConn(w, cc)
	cc.SetHandler((*connEvents)(c))
	w.begin()
	w.stats.accepted.Add(1)
	if f := w.group.cfg.OnConn; f != nil {
		f(cc)
	}
	return nil
}

// memoryInterval is how often memory use is looked at.
const memoryInterval = 100 * time.Millisecond

func (a *admission) outOfMemory(now mono.Time) bool {
	if a.limits.Memory <= 0 {
		return false
	}
	if last := a.memoryAt.Load(); now.Sub(mono.Time(last)) > memoryInterval && a.memoryAt.CompareAndSwap(last, int64(now)) {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		a.memoryFull.Store(sample[0].Value.Uint64() > uint64(a.limits.Memory))
	}
	return a.memoryFull.Load()
}

// An addressTable holds a token bucket per IPv4 address or IPv6 /64. Its size
// is fixed: addresses whose hashes meet share a bucket, which makes the limit
// stricter for them, never looser.
type addressTable struct {
	rate, burst float64 // tokens per second, tokens
	seed        maphash.Seed

	mu      sync.Mutex
	buckets []addressBucket
}

type addressBucket struct {
	tokens float64
	at     mono.Time // of the last take; zero: never, the bucket is full
}

// addressBuckets is a power of two; a table takes 128 KiB.
const addressBuckets = 8192

func newAddressTable(rate float64, burst int) *addressTable {
	return &addressTable{
		rate:    rate,
		burst:   max(float64(burst), 1),
		seed:    maphash.MakeSeed(),
		buckets: make([]addressBucket, addressBuckets),
	}
}

// take takes a token from the address's bucket if there is one.
func (t *addressTable) take(addr netip.Addr, now mono.Time) bool {
	b16 := addr.As16()
	key := b16[:]
	if !addr.Unmap().Is4() {
		key = b16[:8]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &t.buckets[maphash.Bytes(t.seed, key)&(addressBuckets-1)]
	if b.at.IsZero() {
		b.tokens = t.burst
	} else {
		b.tokens = min(t.burst, b.tokens+t.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
