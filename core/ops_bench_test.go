package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/protoops"
)

// The price of an operation with nothing attached: the shim against its native
// body, on a real connection. Compare the pairs.

//go:noinline
func (c *Conn) isAckNeededDirect(a PathArg) Decision {
	return Decision{a.Path.Space.AckElicitingPending >= a.Path.AckThreshold}
}

//go:noinline
func (c *Conn) isAckNeededShim(a PathArg) Decision { return c.isAckNeeded(a) }

var benchYes bool

func benchConn(b *testing.B) *Conn {
	l := connected(b)
	return l.c
}

func BenchmarkOperationDirect(b *testing.B) {
	c := benchConn(b)
	a := PathArg{c.path0}
	b.ReportAllocs()
	for b.Loop() {
		benchYes = c.isAckNeededDirect(a).Yes
	}
}

func BenchmarkOperationUnattached(b *testing.B) {
	c := benchConn(b)
	a := PathArg{c.path0}
	b.ReportAllocs()
	for b.Loop() {
		benchYes = c.isAckNeededShim(a).Yes
	}
}

// BenchmarkOperationUnattachedOwnSlots is the same on a connection with a plugin
// on another operation, whose slots are its own.
func BenchmarkOperationUnattachedOwnSlots(b *testing.B) {
	c := benchConn(b)
	attach(b, c, plugin("org.example.elsewhere", pre("path_closed", func(*protoops.Call) error { return nil })))
	a := PathArg{c.path0}
	b.ReportAllocs()
	for b.Loop() {
		benchYes = c.isAckNeededShim(a).Yes
	}
}

func BenchmarkOperationReplaced(b *testing.B) {
	c := benchConn(b)
	attach(b, c, plugin("org.example.yes", replace("is_ack_needed", func(call *protoops.Call) error { return call.SetResult(0, 1) })))
	a := PathArg{c.path0}
	b.ReportAllocs()
	for b.Loop() {
		benchYes = c.isAckNeededShim(a).Yes
	}
}

// BenchmarkShimOverhead measures both in turns and reports the difference of
// their best times, which a busy machine disturbs least.
func BenchmarkShimOverhead(b *testing.B) {
	c := benchConn(b)
	a := PathArg{c.path0}
	const batch = 1 << 16
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		start := time.Now()
		for range batch {
			benchYes = c.isAckNeededDirect(a).Yes
		}
		middle := time.Now()
		for range batch {
			benchYes = c.isAckNeededShim(a).Yes
		}
		best[0] = min(best[0], middle.Sub(start))
		best[1] = min(best[1], time.Since(middle))
	}
	b.ReportMetric(float64(best[0])/batch, "direct-ns")
	b.ReportMetric(float64(best[1])/batch, "shim-ns")
	b.ReportMetric(float64(best[1]-best[0])/batch, "overhead-ns")
}

func TestOperationsDoNotAllocate(t *testing.T) {
	l := connected(t)
	c, p := l.c, l.c.path0
	attach(t, c, plugin("org.example.rtt", pre("is_ack_needed", func(*protoops.Call) error { return nil }),
		replace("loss_delay", func(call *protoops.Call) error { return call.SetResult(0, uint64(time.Second)) })))
	for name, f := range map[string]func(){
		"unattached":      func() { c.packetThreshold(PathArg{p}) },
		"observed":        func() { c.isAckNeeded(PathArg{p}) },
		"replaced":        func() { c.lossDelay(PathArg{p}) },
		"many arguments":  func() { c.ecnCounts(ECNArg{Path: p, Space: 2}) },
		"with no path":    func() { c.coreShare(NoArg{}) },
		"congestion":      func() { c.congestionWindow(PathArg{p}) },
		"next wake time":  func() { c.nextWakeTime(Deadline{1}) },
		"underutilized":   func() { c.isUnderutilized(UtilizationArg{Path: p}) },
		"pacing deadline": func() { c.pacingDeadline(PacingArg{Path: p, Bytes: 1200}) },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
