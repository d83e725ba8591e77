package core

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A busyLife takes a connection through as much of its life as one run can: the
// handshake, transfers both ways under loss, streams opened, reset and stopped,
// key updates, ECN marks, a rebinding, a migration, idle time, a second path for
// a while, and the end. Whatever fails in a plugin, the transfers complete.
func busyLife(t testing.TB, each func(*Conn)) {
	t.Helper()
	l := newLab(t, onBoth(each), configs(func(c, s *Config) {
		for _, x := range []*Config{c, s} {
			x.StreamWindow, x.ConnWindow, x.MaxStreamWindow, x.MaxConnWindow = 48<<10, 64<<10, 256<<10, 512<<10
			x.KeepAlive = 3 * time.Second
			x.MaxUniStreams, x.MaxBidiStreams = 8, 8
		}
	}))
	random := uint64(1)
	pct := uint64(0)
	l.lost = func(d *labDatagram) bool {
		random = random*6364136223846793005 + 1442695040888963407
		if random>>60 == 3 && d.ECN == ECT0 {
			d.ECN = CE
		}
		if pct == 3 && random>>40%40 == 1 { // late, so that its loss is spurious
			d.at = l.now.Add(6 * l.delay)
			l.flights = append(l.flights, *d)
			return true
		}
		return random>>33%100 < pct
	}
	l.until("handshake", func() bool { return l.c.v.HandshakeConfirmed != 0 && l.s.v.HandshakeConfirmed != 0 })
	pct = 3
	l.transfer(l.c, l.s, 300_000)
	l.transfer(l.s, l.c, 300_000)
	l.c.UpdateKeys(l.now)
	l.transfer(l.c, l.s, 60_000)

	// Streams that end early.
	st, err := l.c.OpenStream(true)
	if err != nil {
		t.Fatal(err)
	}
	st.SendFIFO().Write(make([]byte, 20_000))
	l.c.StreamWritten(l.now, st)
	l.wait(100 * time.Millisecond)
	l.c.ResetStream(l.now, st, 5, 1000)
	l.c.StopSending(l.now, st, 6)
	g := l.open(l.s, l.c, 100_000)
	g.pump()
	l.wait(50 * time.Millisecond)
	if x := l.c.Stream(g.st.ID); x != nil {
		l.c.StopSending(l.now, x, 7)
	}
	l.wait(300 * time.Millisecond)
	for range 12 { // more than the peer allows at a time
		l.transfer(l.c, l.s, 3000)
	}
	l.c.RequestAck()

	// Silence, a rebinding of the client's port, a migration.
	l.wait(4 * time.Second)
	rebound := netip.MustParseAddrPort("10.0.0.1:5555")
	l.c.LocalAddressesChanged(l.now, rebound, 0)
	l.transfer(l.c, l.s, 30_000)
	l.wait(time.Second)
	_ = l.c.Migrate(l.now, netip.MustParseAddrPort("10.0.0.9:6666"), 0)
	l.transfer(l.c, l.s, 30_000)
	l.wait(2 * time.Second)

	// A second path, never validated, whose socket fails.
	if p, err := l.c.OpenPath(l.now, 9, clientAddr2, serverAddr2, 0, true); err == nil {
		l.transfer(l.c, l.s, 3000)
		l.c.PathSocketError(l.now, p, 0)
	}

	// A blackout: probe timeouts, then recovery.
	pct = 100
	f := l.open(l.c, l.s, 40_000)
	f.pump()
	l.wait(time.Second)
	pct = 3
	l.until("after the blackout", f.pump)
	pct = 0
	l.transfer(l.s, l.c, 100_000)
	l.c.Close(l.now, 0, "done")
	l.until("end", func() bool { return l.client.Len() == 0 && l.server.Len() == 0 })
	if err := l.server.Audit(); err != nil {
		t.Error(err)
	}
}

// rare lists operations that a busy life does not come to, and why. Each is
// exercised by a test of its own.
var rare = map[string]string{
	"early_data_acceptable":    "0-RTT: TestSeamParametersHookBeforeEarlyData",
	"find_ready_plugin_stream": "plugin streams: TestSeamPluginStream",
	"core_share":               "reserved frames: TestFrameShares",
	"persistent_congestion":    "a long total loss: TestPersistentCongestion",
	"is_mtu_black_hole":        "a path that shrinks: TestSimMTUBlackhole",
}

// faultPoints returns the operations with a native body that a pluglet can
// replace.
func faultPoints() (keys []protoops.Key) {
	for _, op := range Operations.Ops() {
		if !op.Event && !op.Family {
			keys = append(keys, op.Key)
		}
	}
	return keys
}

// A pluglet that fails at its first, or at a later call, in any operation that
// has a native body: the native body answers and the connection lives on.
func TestFaultInEveryOperation(t *testing.T) {
	failures := map[string]func(*protoops.Call) error{
		"error": func(*protoops.Call) error { return errors.New("boom") },
		"panic": func(*protoops.Call) error { panic("boom") },
		"after the native body": func(call *protoops.Call) error {
			call.Native()
			return errors.New("boom")
		},
	}
	reached := map[string]bool{}
	for i, key := range faultPoints() {
		names := []string{"error", "panic", "after the native body"}
		how := names[i%len(names)]
		at := uint64(i % 4) // fail at the first call, or at one of the next
		var calls atomic.Uint64
		busyLife(t, func(c *Conn) {
			n := uint64(0)
			attach(t, c, &protoops.Plugin{Name: fmt.Sprintf("org.example.fails%d", i), Bindings: []protoops.Binding{
				{Key: key, Anchor: protoops.Replace, Pluglet: protoops.PlugletFunc(func(call *protoops.Call) error {
					calls.Add(1)
					if n++; n > at {
						return failures[how](call)
					}
					call.Native()
					return nil
				})}}})
		})
		if t.Failed() {
			t.Fatalf("%s: failed with %s at call %d", key, how, at+1)
		}
		reached[key.String()] = calls.Load() > 0
	}
	missed := 0
	for _, key := range faultPoints() {
		if reached[key.String()] || rare[key.Name] != "" || key.Param != protoops.NoParam {
			continue
		}
		missed++
		t.Errorf("%s was never run", key)
	}
	frames := 0
	for k, ok := range reached {
		if ok {
			frames++
		} else {
			t.Logf("not reached: %s", k)
		}
	}
	t.Logf("%d of %d operations with a native body were run and failed", frames, len(reached))
}

// All observers fail at once: nothing changes.
func TestFaultInEveryObserver(t *testing.T) {
	busyLife(t, func(c *Conn) {
		for i, op := range Operations.Ops() {
			if op.Family {
				continue
			}
			anchor := protoops.Pre
			if i%2 == 0 {
				anchor = protoops.Post
			}
			n := 0
			attach(t, c, &protoops.Plugin{Name: fmt.Sprintf("org.example.observer%d", i), Bindings: []protoops.Binding{
				{Key: op.Key, Anchor: anchor, Pluglet: protoops.PlugletFunc(func(*protoops.Call) error {
					if n++; n > 2 {
						return errors.New("boom")
					}
					return nil
				})}}})
		}
	})
}

// Every operation replaced by a pluglet that runs its native body is the engine
// as it was, in the same run to the same end.
func TestNativeInEveryOperation(t *testing.T) {
	counts := map[string]int{}
	busyLife(t, func(c *Conn) {
		for i, key := range faultPoints() {
			attach(t, c, &protoops.Plugin{Name: fmt.Sprintf("org.example.native%d", i), Bindings: []protoops.Binding{
				{Key: key, Anchor: protoops.Replace, Pluglet: protoops.PlugletFunc(func(call *protoops.Call) error {
					counts[key.String()]++
					call.Native()
					return nil
				})}}})
		}
	})
	if counts["schedule_frames"] == 0 || counts[protoops.Key{Name: "write_frame", Param: uint64(wire.Stream)}.String()] == 0 {
		t.Errorf("ran %d operations", len(counts))
	}
	t.Logf("%d operations were run", len(counts))
}
