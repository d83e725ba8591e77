package core

import (
	"errors"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Observers at pre and post of one operation see every call, before and after
// its body, and change nothing.
func TestCountEvents(t *testing.T) {
	l := connected(t)
	var pre1, post1, sealed, acked, lost int
	var results []bool
	a := attach(t, l.c, plugin("org.example.counter",
		pre("is_underutilized", func(call *protoops.Call) error { pre1++; return nil }),
		post("is_underutilized", func(call *protoops.Call) error {
			post1++
			results = append(results, call.Result(0) != 0)
			return nil
		}),
		post("packet_sealed", func(*protoops.Call) error { sealed++; return nil }),
		pre("packet_acked", func(*protoops.Call) error { acked++; return nil }),
		post("packet_lost", func(*protoops.Call) error { lost++; return nil })))
	n := 0
	l.lost = func(d *labDatagram) bool { n++; return n%50 == 20 }
	before := l.c.v
	l.transfer(l.c, l.s, 1<<20)
	l.wait(time.Second)
	if pre1 == 0 || pre1 != post1 || len(results) != post1 {
		t.Errorf("%d calls before, %d after", pre1, post1)
	}
	if sealed != int(l.c.v.PacketsSent-before.PacketsSent) || lost != int(l.c.v.PacketsLost-before.PacketsLost) || lost == 0 {
		t.Errorf("%d sealed and %d lost, the engine says %d and %d", sealed, lost, l.c.v.PacketsSent-before.PacketsSent, l.c.v.PacketsLost-before.PacketsLost)
	}
	if sent := l.c.path0.Space.NextNumber; acked == 0 || acked > int(sent) {
		t.Errorf("%d acked of %d sent", acked, sent)
	}
	for i, s := range a.Stats() {
		if want := []int{pre1, post1, sealed, acked, lost}[i]; s.Calls != uint64(want) {
			t.Errorf("%s/%s: statistics count %d calls, not %d", s.Anchor, s.Key, s.Calls, want)
		}
	}
}

// Time is sampled by the clock the table was given.
func TestTimeIsSampled(t *testing.T) {
	l := connected(t)
	var clock int64
	l.c.Operations().Clock = func() int64 { clock += 50; return clock }
	a := attach(t, l.c, plugin("org.example.slow", pre("packet_sealed", func(*protoops.Call) error { return nil })))
	l.transfer(l.c, l.s, 3<<20)
	s := a.Stats()[0]
	if s.Calls < 2000 || s.SampledCalls != (s.Calls+1023)/1024 || s.SampledTime != time.Duration(50*s.SampledCalls) {
		t.Errorf("%+v", s)
	}
}

func TestSecondReplaceIsRefused(t *testing.T) {
	l := connected(t)
	never := func(*protoops.Call) error { return nil }
	attach(t, l.c, plugin("org.example.first", replace("loss_delay", func(call *protoops.Call) error { call.Native(); return nil })))
	_, err := Operations.Attach(l.c, plugin("org.example.second", pre("packet_acked", never), replace("loss_delay", never)))
	var ae *protoops.AttachError
	if !errors.Is(err, protoops.ErrReplaced) || !errors.As(err, &ae) || ae.Plugin != "org.example.second" || ae.Holder != "org.example.first" || ae.Key.Name != "loss_delay" {
		t.Errorf("second replace: %v", err)
	}
	if l.c.ops.packetAcked.Attached() {
		t.Error("half of a refused plugin is attached")
	}
	for _, key := range []protoops.Key{{Name: "no_such_operation", Param: protoops.NoParam}, {Name: "parse_frame", Param: uint64(wire.AckECN)},
		{Name: "process_transport_parameter", Param: 4}, {Name: "loss_delay", Param: 0}} {
		_, err := Operations.Attach(l.c, &protoops.Plugin{Name: "org.example.third", Bindings: []protoops.Binding{
			{Key: key, Anchor: protoops.Pre, Pluglet: protoops.PlugletFunc(never)}}})
		if !errors.Is(err, protoops.ErrUnknownOp) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// An observer that writes the engine's state fails, and the state is as it was.
func TestObserversMayNotWrite(t *testing.T) {
	l := connected(t)
	window, _ := PathFields.ID("congestion_window")
	for _, anchor := range []protoops.Anchor{protoops.Pre, protoops.Post} {
		before := l.c.path0.Congestion.CongestionWindow
		var got, result error
		a := attach(t, l.c, plugin("org.example.meddler", bind(anchor, "loss_delay", func(call *protoops.Call) error {
			got = PathFields.Set(call, &call.ArgHandle(0).(*Path).PathView, window, 2400)
			result = call.SetResult(0, 1)
			return got
		})))
		l.transfer(l.c, l.s, 20_000)
		l.until("detached", func() bool { return !a.Attached() })
		if !errors.Is(got, protoops.ErrReadOnly) || !errors.Is(result, protoops.ErrReadOnly) {
			t.Errorf("%s: writing gave %v, answering %v", anchor, got, result)
		}
		if now := l.c.path0.Congestion.CongestionWindow; now < before {
			t.Errorf("%s: congestion window went from %d to %d", anchor, before, now)
		}
	}
}

// A pluglet that runs the operation it replaces is stopped; others it may run.
func TestRecursionIsRefused(t *testing.T) {
	l := connected(t)
	var inner Span
	var other Count
	a := attach(t, l.c, plugin("org.example.loop", replace("loss_delay", func(call *protoops.Call) error {
		p := call.ArgHandle(0).(*Path)
		other = l.c.packetThreshold(PathArg{p})
		inner = l.c.lossDelay(PathArg{p})
		return call.SetResult(0, 1)
	})))
	l.transfer(l.c, l.s, 20_000)
	l.until("detached", func() bool { return !a.Attached() })
	if f := a.Fault(); f == nil || !errors.Is(f, protoops.ErrLoop) {
		t.Errorf("fault: %v", f)
	}
	if inner.Duration < 20*time.Millisecond || other.Count != 3 {
		t.Errorf("the inner call got %v, another operation %d", inner.Duration, other.Count)
	}
	l.transfer(l.c, l.s, 200_000)
}

// What a failing pluglet has written is undone, the native body answers, and
// the connection goes on.
func TestFaultIsUndone(t *testing.T) {
	l := connected(t)
	spin, _ := ConnFields.ID("spin_enabled")
	window, _ := PathFields.ID("congestion_window")
	before := l.c.v.SpinEnabled
	boom := errors.New("boom")
	a := attach(t, l.c, plugin("org.example.boom", replace("congestion_window", func(call *protoops.Call) error {
		p := call.ArgHandle(0).(*Path)
		if err := PathFields.Set(call, &p.PathView, window, 2400); err != nil {
			t.Error(err)
		}
		if err := ConnFields.Set(call, &l.c.v, spin, uint64(1-before)); err != nil {
			t.Error(err)
		}
		if p.Congestion.CongestionWindow != 2400 {
			t.Error("the write has no effect")
		}
		return boom
	})))
	l.transfer(l.c, l.s, 100_000)
	if a.Attached() || !errors.Is(a.Fault(), boom) {
		t.Errorf("attached %v, fault %v", a.Attached(), a.Fault())
	}
	if l.c.v.SpinEnabled != before || l.c.path0.Congestion.CongestionWindow < 12000 {
		t.Errorf("spin %d, window %d", l.c.v.SpinEnabled, l.c.path0.Congestion.CongestionWindow)
	}
}

// A plugin that owns a frame type takes the connection with it, and the error
// says which plugin and why.
func TestFaultOfAnOwner(t *testing.T) {
	var books []*notebook
	var told []*protoops.PlugletError
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, controlled)) }),
		endpoints(func(_, s *EndpointConfig) {
			s.OnFault = func(_ *Conn, err *protoops.PlugletError) { told = append(told, err) }
		}))
	boom := errors.New("boom")
	attach(t, l.s, &protoops.Plugin{Name: "org.example.owner", Owned: true, Bindings: []protoops.Binding{
		onFrame(protoops.Pre, "process_frame", noteFrame, func(*protoops.Call) error { return boom })}})
	f := l.open(l.c, l.s, 1<<20)
	f.pump()
	books[0].reserve(t, noteFrame, 1)
	l.until("close", func() bool { return l.c.Err() != nil && l.s.Err() != nil })
	var te *TransportError
	var pe *protoops.PlugletError
	err := l.s.Err()
	if !errors.As(err, &te) || te.Code != InternalError || te.FrameType != noteFrame || te.Remote {
		t.Errorf("server: %v", err)
	}
	if !errors.As(err, &pe) || pe.Plugin != "org.example.owner" || !errors.Is(err, boom) {
		t.Errorf("server: the cause is %v", pe)
	}
	if len(told) != 1 || told[0] != pe {
		t.Errorf("the endpoint was told of %v", told)
	}
	if !errors.As(l.c.Err(), &te) || te.Code != InternalError || !te.Remote || te.FrameType != noteFrame {
		t.Errorf("client: %v", l.c.Err())
	}
}

// Plugins come and go on a live connection; a plugin attaches with all of its
// pluglets or not at all, and not under a running operation.
func TestAttachAndDetachLive(t *testing.T) {
	l := connected(t)
	f := l.open(l.c, l.s, 8<<20)
	counts := [3]int{}
	var while error
	detached := 0
	for i := range counts {
		l.until("a megabyte", func() bool { f.pump(); return f.read > (2*i+1)<<20 })
		p := plugin("org.example.guest",
			replace("is_ack_needed", func(call *protoops.Call) error {
				call.Native()
				return nil
			}),
			replace("congestion_window", func(call *protoops.Call) error {
				counts[i]++
				call.Native()
				if counts[i] == 1 {
					_, while = Operations.Attach(l.c, plugin("org.example.other", pre("packet_sealed", func(*protoops.Call) error { return nil })))
				}
				return nil
			}))
		p.Detached = func(*protoops.Attachment) { detached++ }
		a := attach(t, l.c, p)
		if _, err := Operations.Attach(l.c, p); !errors.Is(err, protoops.ErrAttached) {
			t.Errorf("attached twice: %v", err)
		}
		l.until("another", func() bool { f.pump(); return f.read > (2*i+2)<<20 })
		Operations.Detach(l.c, a)
		if l.c.ops.congestionWindow.Attached() || l.c.ops.isAckNeeded.Attached() {
			t.Error("slots stay taken")
		}
		if counts[i] == 0 || !errors.Is(while, protoops.ErrRunning) {
			t.Errorf("ran %d times; attaching meanwhile: %v", counts[i], while)
		}
	}
	l.until("rest", f.pump)
	if detached != 3 {
		t.Errorf("told of %d detachments", detached)
	}
}

// A detach asked for by a pluglet waits until its operation has ended.
func TestDetachFromInside(t *testing.T) {
	l := connected(t)
	var a *protoops.Attachment
	runs, after := 0, 0
	a = attach(t, l.c, plugin("org.example.once",
		replace("pacing_deadline", func(call *protoops.Call) error {
			runs++
			Operations.Detach(l.c, a)
			return call.SetResult(0, 0)
		}),
		post("pacing_deadline", func(*protoops.Call) error { after++; return nil })))
	l.transfer(l.c, l.s, 50_000)
	if runs != 1 || after != 1 || a.Attached() {
		t.Errorf("ran %d times, observed %d times, attached %v", runs, after, a.Attached())
	}
}

// A plugin may bring operations of its own: the application calls the extern
// ones, other plugins the declared ones.
func TestOperationsOfAPlugin(t *testing.T) {
	l := connected(t)
	attach(t, l.c, plugin("org.example.rates",
		protoops.Binding{Key: protoops.Plain("goodput"), Declares: true, Pluglet: protoops.PlugletFunc(func(call *protoops.Call) error {
			return call.SetResult(0, l.c.path0.BytesAcked/max(call.Arg(0), 1))
		})},
		bind(protoops.Extern, "average_goodput", func(call *protoops.Call) error {
			r, err := protoops.RunDeclared(l.c.Operations(), l.c, protoops.Plain("goodput"), []uint64{call.Arg(0)})
			if err != nil {
				return err
			}
			return call.SetResult(0, r[0])
		})))
	l.transfer(l.c, l.s, 100_000)
	l.wait(100 * time.Millisecond)
	r, err := protoops.CallExtern(l.c.Operations(), l.c, protoops.Plain("average_goodput"), []uint64{2})
	if err != nil || len(r) != 1 || r[0] < 50_000 {
		t.Errorf("goodput %v, %v", r, err)
	}
	if _, err := protoops.RunDeclared(l.c.Operations(), l.c, protoops.Plain("average_goodput"), nil); !errors.Is(err, protoops.ErrExternOnly) {
		t.Errorf("a pluglet may not run an extern operation: %v", err)
	}
}

// The plugins' timer wakes an idle connection.
func TestPluginTimer(t *testing.T) {
	l := connected(t)
	l.wait(time.Second)
	var fired []mono.Time
	attach(t, l.c, plugin("org.example.timer", post("plugin_timer", func(*protoops.Call) error {
		fired = append(fired, l.c.Now())
		if len(fired) < 3 {
			l.c.SetPluginTimer(l.c.Now().Add(100 * time.Millisecond))
		}
		return nil
	})))
	start := l.now
	l.c.SetPluginTimer(start.Add(100 * time.Millisecond))
	l.wait(time.Second)
	if len(fired) != 3 {
		t.Fatalf("fired %d times", len(fired))
	}
	for i, at := range fired {
		if want := start.Add(time.Duration(i+1) * 100 * time.Millisecond); at != want {
			t.Errorf("timer %d fired at %v, not %v", i, at.Sub(start), want.Sub(start))
		}
	}
}
