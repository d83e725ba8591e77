package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Each test here replaces one decision of the engine by a Go function and looks
// at what reaches the wire.

func TestReplaceAckPolicy(t *testing.T) {
	acks := func(policy ...protoops.Binding) (frames uint64, longest time.Duration) {
		l := connected(t)
		if len(policy) > 0 {
			attach(t, l.s, plugin("org.example.acks", policy...))
		}
		l.rate = 1_000_000
		before := l.s.path0.Space.AcksSent
		l.transfer(l.c, l.s, 1<<20)
		// A packet alone waits as long as the policy says.
		l.wait(time.Second)
		f := l.open(l.c, l.s, 100)
		f.pump()
		sent := l.now
		acked := l.c.path0.BytesAcked
		l.until("acknowledgment", func() bool { f.pump(); return l.c.path0.BytesAcked > acked && f.st.sendDone })
		l.noFault(l.s)
		return uint64(l.s.path0.Space.AcksSent - before), l.now.Sub(sent)
	}
	native, nativeDelay := acks()
	every16, delayed := acks(
		replace("is_ack_needed", func(call *protoops.Call) error {
			p := protoops.ArgsOf[PathArg](call).Path
			protoops.ResultOf[Decision](call).Yes = p.Space.AckElicitingPending >= 16
			return nil
		}),
		replace("update_ack_delay", func(call *protoops.Call) error {
			return call.SetResult(0, uint64(60*time.Millisecond))
		}))
	if every16 > native/3 {
		t.Errorf("%d ACK frames with the pluglet, %d without", every16, native)
	}
	if nativeDelay > 50*time.Millisecond || delayed < 79*time.Millisecond || delayed > 90*time.Millisecond {
		t.Errorf("a single packet was acknowledged after %v natively, %v with the pluglet", nativeDelay, delayed)
	}
}

// The last stream opened goes first, whatever the scheduler says.
func TestReplaceStreamScheduler(t *testing.T) {
	order := func(p *protoops.Plugin) (changes int, first uint64) {
		l := connected(t)
		if p != nil {
			attach(t, l.c, p)
		}
		var ids []uint64
		attach(t, l.c, plugin("org.example.watch", onFrame(protoops.Post, "write_frame", wire.MaxData, func(*protoops.Call) error { return nil }),
			post("stream_bytes_max", func(call *protoops.Call) error {
				ids = append(ids, protoops.ArgsOf[RoomArg](call).Stream.ID)
				return nil
			})))
		flows := []*flow{l.open(l.c, l.s, 200_000), l.open(l.c, l.s, 200_000), l.open(l.c, l.s, 200_000)}
		l.until("all three", func() bool {
			done := true
			for _, f := range flows {
				done = f.pump() && done
			}
			return done
		})
		l.noFault(l.c)
		for i := range ids {
			if i > 0 && ids[i] != ids[i-1] {
				changes++
			}
		}
		return changes, ids[0]
	}
	newestFirst := replace("schedule_next_stream", func(call *protoops.Call) error {
		c := call.Subject().(*Conn)
		var chosen *Stream
		for _, s := range c.Streams() {
			if s.Pending() {
				chosen = s
			}
		}
		return call.SetResultHandle(0, chosen)
	})
	if changes, first := order(plugin("org.example.newest", newestFirst)); changes > 6 || first != 10 {
		t.Errorf("newest first: stream %d went first, %d changes of stream", first, changes)
	}
	if changes, first := order(nil); changes < 20 || first != 2 {
		t.Errorf("round robin: stream %d went first, %d changes of stream", first, changes)
	}
}

// Westwood keeps its own state: it sets the window after a loss from the rate at
// which acknowledgments come back, not from a fixed fraction.
type westwood struct {
	window, ssthresh uint64
	rate             float64 // estimated bytes per second
	since            mono.Time
	delivered        uint64
	recovery         mono.Time
	cuts             int
}

func (w *westwood) plugin() *protoops.Plugin {
	field := func(name string) protoops.FieldID {
		id, ok := PathFields.ID(name)
		if !ok {
			panic(name)
		}
		return id
	}
	window, slow, events := field("congestion_window"), field("in_slow_start"), field("congestion_events")
	publish := func(call *protoops.Call, p *Path) error {
		inSlowStart := uint64(0)
		if w.window < w.ssthresh {
			inSlowStart = 1
		}
		if err := PathFields.Set(call, &p.PathView, slow, inSlowStart); err != nil {
			return err
		}
		if err := PathFields.Set(call, &p.PathView, events, uint64(w.cuts)); err != nil {
			return err
		}
		return PathFields.Set(call, &p.PathView, window, w.window)
	}
	return plugin("org.example.westwood",
		replace("congestion_on_ack", func(call *protoops.Call) error {
			a := protoops.ArgsOf[CongestionAckArg](call)
			p, now := a.Path, call.Subject().(*Conn).Now()
			if w.window == 0 {
				w.window, w.ssthresh, w.since = p.Congestion.CongestionWindow, 1<<40, now
			}
			w.delivered += a.Bytes
			if d := now.Sub(w.since); d >= p.RTT.SmoothedRTT {
				sample := float64(w.delivered) / d.Seconds()
				w.rate = max(0.9*w.rate+0.1*sample, sample)
				w.delivered, w.since = 0, now
			}
			switch {
			case a.Underutilized || a.LargestSentTime <= w.recovery:
			case w.window < w.ssthresh:
				w.window += a.Bytes
			default:
				w.window += p.MTU * a.Bytes / w.window
			}
			return publish(call, p)
		}),
		replace("congestion_on_loss", func(call *protoops.Call) error {
			a := protoops.ArgsOf[CongestionLossArg](call)
			if a.LargestLostSent <= w.recovery {
				return nil
			}
			w.cuts++
			w.recovery = call.Subject().(*Conn).Now()
			w.ssthresh = max(uint64(w.rate*a.Path.RTT.MinRTT.Seconds()), 2*a.Path.MTU)
			w.window = min(w.window, w.ssthresh)
			if a.Persistent {
				w.window = 2 * a.Path.MTU
			}
			w.window = max(w.window, 2400)
			return publish(call, a.Path)
		}),
		replace("congestion_window", func(call *protoops.Call) error {
			if w.window == 0 {
				call.Native()
				return nil
			}
			return call.SetResult(0, w.window)
		}))
}

func TestReplaceCongestionController(t *testing.T) {
	run := func(p *protoops.Plugin) (time.Duration, *lab) {
		l := connected(t, owd(25*time.Millisecond), configs(func(c, _ *Config) { c.CongestionControl = "newreno" }))
		if p != nil {
			attach(t, l.c, p)
		}
		l.rate, l.queue = 2_000_000, 60_000
		n := 0
		l.lost = func(d *labDatagram) bool { // random loss, not congestion
			if d.toServer {
				n++
			}
			return d.toServer && n%150 == 149
		}
		start := l.now
		l.transfer(l.c, l.s, 6<<20)
		l.noFault(l.c)
		return l.now.Sub(start), l
	}
	reno, _ := run(nil)
	w := &westwood{}
	took, l := run(w.plugin())
	if w.cuts < 5 || w.rate < 800_000 || w.rate > 2_200_000 {
		t.Errorf("%d reductions, bandwidth estimate %.0f bytes/s on a link of 2,000,000", w.cuts, w.rate)
	}
	if l.c.path0.Congestion.CongestionWindow != w.window || l.c.path0.Congestion.CongestionEvents != uint64(w.cuts) {
		t.Errorf("the path's window is %d, the pluglet's %d", l.c.path0.Congestion.CongestionWindow, w.window)
	}
	if took >= reno*9/10 {
		t.Errorf("6 MiB with random loss took %v with Westwood, %v with NewReno", took, reno)
	}
	t.Logf("NewReno %v, Westwood %v, %d reductions", reno, took, w.cuts)
}

// One datagram a millisecond, whatever window and rate allow.
func TestReplacePacing(t *testing.T) {
	l := connected(t, configs(func(c, s *Config) { c.DisablePathMTUDiscovery, s.DisablePathMTUDiscovery = true, true }))
	var last mono.Time
	attach(t, l.c, plugin("org.example.metronome",
		replace("pacing_deadline", func(call *protoops.Call) error {
			return call.SetResult(0, uint64(last.Add(time.Millisecond)))
		}),
		replace("is_ack_needed", func(call *protoops.Call) error { return nil }), // nothing else sends
		post("congestion_on_sent", func(call *protoops.Call) error {
			last = call.Subject().(*Conn).Now()
			return nil
		})))
	var times []mono.Time
	l.seen = func(d *labDatagram) {
		if d.toServer && len(d.Payload) == minUDPPayload {
			times = append(times, l.now)
		}
	}
	l.transfer(l.c, l.s, 200_000)
	l.noFault(l.c)
	if len(times) < 150 {
		t.Fatalf("%d full datagrams", len(times))
	}
	for i := 1; i < len(times); i++ {
		if d := times[i].Sub(times[i-1]); d < time.Millisecond {
			t.Fatalf("datagrams %d and %d are %v apart", i-1, i, d)
		}
	}
}

// A sample folded in by a pluglet is the path's estimate, whether it answers or
// writes the fields.
func TestReplaceRTT(t *testing.T) {
	l := connected(t)
	srtt, _ := PathFields.ID("smoothed_rtt")
	answer := attach(t, l.c, plugin("org.example.rtt", replace("update_rtt", func(call *protoops.Call) error {
		return call.SetResult(0, uint64(77*time.Millisecond))
	})))
	before := l.c.path0.RTT.Samples
	l.transfer(l.c, l.s, 10_000)
	l.wait(100 * time.Millisecond)
	if r := l.c.path0.RTT; r.SmoothedRTT != 77*time.Millisecond || r.Samples == before || r.LatestRTT < 20*time.Millisecond {
		t.Errorf("answered: %+v", r)
	}
	Operations.Detach(l.c, answer)
	attach(t, l.c, plugin("org.example.rtt", replace("update_rtt", func(call *protoops.Call) error {
		p := protoops.ArgsOf[RTTSample](call).Path
		return PathFields.Set(call, &p.PathView, srtt, uint64(55*time.Millisecond))
	})))
	l.transfer(l.c, l.s, 10_000)
	l.wait(100 * time.Millisecond)
	if r := l.c.path0.RTT; r.SmoothedRTT != 55*time.Millisecond {
		t.Errorf("written: %+v", r)
	}
	l.noFault(l.c)
}
