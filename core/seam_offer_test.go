package core

import (
	"errors"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

const offeredParam uint64 = 0x3f77

// An offering is one end's side of a negotiated plugin.
type offering struct {
	offer   PluginOffer
	settled int
	a       *protoops.Attachment
	err     error
	got     int // frames received
}

func offerNotes(t testing.TB, c *Conn, value string) *offering {
	o := new(offering)
	o.offer = PluginOffer{
		Plugin: &protoops.Plugin{Name: "org.example.offered", Owned: true, Bindings: []protoops.Binding{
			onFrame(protoops.Replace, "parse_frame", noteFrame, func(call *protoops.Call) error {
				_, _, n := parseNote(call.ArgBytes(0))
				return call.SetResult(0, uint64(n))
			}),
			onFrame(protoops.Replace, "process_frame", noteFrame, func(*protoops.Call) error { o.got++; return nil }),
			onFrame(protoops.Replace, "write_frame", noteFrame, func(call *protoops.Call) error {
				a := protoops.ArgsOf[WriteArg](call)
				a.Builder.AppendFrame(noteFrame, note(noteFrame, a.Cookie, 20), a.Cookie)
				return nil
			}),
		}},
		Param: offeredParam, Value: []byte(value),
		Frames:  []FrameDecl{{Type: noteFrame, Packets: 1 << wire.OneRTT, AckEliciting: true, CongestionControlled: true, Owner: "org.example.offered"}},
		Settled: func(a *protoops.Attachment, err error) { o.settled++; o.a, o.err = a, err },
	}
	if err := c.OfferPlugin(&o.offer); err != nil {
		t.Fatal(err)
	}
	return o
}

// A transport parameter decides whether the whole plugin attaches.
func TestSeamOffer(t *testing.T) {
	var c, s *offering
	l := connected(t, onClient(func(x *Conn) { c = offerNotes(t, x, "v1") }), onServer(func(x *Conn) {
		s = offerNotes(t, x, "")
		s.offer.Accept = func(v []byte) bool { return string(v) == "v1" }
		s.offer.Answer = func(v []byte) []byte { return append(v, "!"...) }
	}))
	for _, o := range []*offering{c, s} {
		if o.settled != 1 || o.a == nil || o.err != nil || !o.a.Attached() {
			t.Fatalf("settled %d times, %v, %v", o.settled, o.a, o.err)
		}
	}
	answer := ""
	for _, p := range l.c.peerParams.Unknown {
		if p.ID == offeredParam {
			answer = string(p.Value)
		}
	}
	if answer != "v1!" {
		t.Errorf("the server answered %q", answer)
	}
	if l.c.v.UnknownParams+l.s.v.UnknownParams > 2 { // the greased ones
		t.Errorf("counted as unknown: %d and %d", l.c.v.UnknownParams, l.s.v.UnknownParams)
	}
	for _, x := range []*Conn{l.c, l.s} {
		if err := x.ReserveFrame(noteFrame, 20, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	l.until("frames both ways", func() bool { return c.got == 1 && s.got == 1 })
	if err := l.c.OfferPlugin(&PluginOffer{Plugin: &protoops.Plugin{Name: "late"}, Param: 0x3f78}); !errors.Is(err, ErrNotReady) {
		t.Errorf("too late: %v", err)
	}
}

// Without the peer's parameter, or with one that is not to our liking, nothing
// of the plugin is there.
func TestSeamOfferDeclined(t *testing.T) {
	for name, server := range map[string]func(*Conn) *offering{
		"unknown to the server": func(*Conn) *offering { return nil },
		"declined": func(x *Conn) *offering {
			s := offerNotes(t, x, "")
			s.offer.Accept = func([]byte) bool { return false }
			return s
		},
		"another plugin has a frame type": func(x *Conn) *offering {
			s := offerNotes(t, x, "")
			if err := x.DeclareFrame(FrameDecl{Type: noteFrame, Owner: "org.example.other"}); err != nil {
				t.Fatal(err)
			}
			return s
		},
		"another plugin has an operation": func(x *Conn) *offering {
			s := offerNotes(t, x, "")
			attach(t, x, plugin("org.example.other", onFrame(protoops.Replace, "parse_frame", noteFrame, func(*protoops.Call) error { return nil })))
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c, s *offering
			l := connected(t, onClient(func(x *Conn) { c = offerNotes(t, x, "") }), onServer(func(x *Conn) { s = server(x) }))
			if c.settled != 1 || c.a != nil || c.err != nil {
				t.Errorf("client: settled %d times, %v, %v", c.settled, c.a, c.err)
			}
			if s != nil && (s.settled != 1 || s.a != nil) {
				t.Errorf("server: settled %d times, %v, %v", s.settled, s.a, s.err)
			}
			if err := l.c.ReserveFrame(noteFrame, 20, 1, nil); !errors.Is(err, ErrFrameType) {
				t.Errorf("the client's frame type is known: %v", err)
			}
			l.transfer(l.c, l.s, 10_000)
		})
	}
}

// A client that cannot attach what the server has agreed to must not go on.
func TestSeamOfferClientConflict(t *testing.T) {
	var c *offering
	l := newLab(t, onServer(func(x *Conn) { offerNotes(t, x, "") }), onClient(func(x *Conn) {
		c = offerNotes(t, x, "")
		attach(t, x, plugin("org.example.other", onFrame(protoops.Replace, "write_frame", noteFrame, func(*protoops.Call) error { return nil })))
	}))
	l.until("closed", func() bool { return l.c.Err() != nil })
	var te *TransportError
	var ae *protoops.AttachError
	if err := l.c.Err(); !errors.As(err, &te) || te.Code != InternalError || !errors.As(err, &ae) || ae.Holder != "org.example.other" {
		t.Errorf("closed with %v", err)
	}
	if c.settled != 1 || c.a != nil || c.err == nil {
		t.Errorf("settled %d times, %v, %v", c.settled, c.a, c.err)
	}
}

func TestOfferRefused(t *testing.T) {
	c := idleConn(t)
	if err := c.OfferPlugin(&PluginOffer{Plugin: &protoops.Plugin{Name: "x"}, Param: offeredParam}); !errors.Is(err, ErrNotReady) {
		t.Errorf("composed: %v", err)
	}
	newLab(t, onClient(func(x *Conn) {
		offerNotes(t, x, "")
		for _, o := range []struct {
			PluginOffer
			want error
		}{
			{PluginOffer{Param: 0x04}, ErrParam},
			{PluginOffer{Param: 1 << 62}, ErrParam},
			{PluginOffer{Param: offeredParam}, ErrParam},
			{PluginOffer{Param: 0x3f79, Frames: []FrameDecl{{Type: wire.Stream}}}, ErrFrameType},
			{PluginOffer{Param: 0x3f79, Plugin: &protoops.Plugin{}}, protoops.ErrName},
			{PluginOffer{Param: 0x3f79, Plugin: plugin("p", post("no_such", nil))}, protoops.ErrUnknownOp},
		} {
			if o.Plugin == nil {
				o.Plugin = plugin("p")
			}
			if err := x.OfferPlugin(&o.PluginOffer); !errors.Is(err, o.want) {
				t.Errorf("parameter %#x: %v, want %v", o.Param, err, o.want)
			}
		}
	}))
}

// A plugin attaches in the parameters hook although another watches, or stands
// for, the frame that brings the parameters.
func TestSeamParametersHookWhileWatched(t *testing.T) {
	for _, anchor := range []protoops.Anchor{protoops.Pre, protoops.Post, protoops.Replace} {
		t.Run(anchor.String(), func(t *testing.T) {
			s, c := &greeter{value: "good day"}, &greeter{value: "hello"}
			watched := 0
			l := connected(t,
				configs(func(_, server *Config) {
					server.OnTransportParameters = func(x *Conn) error { attachGreeter(t, x, s); return nil }
				}),
				onServer(func(x *Conn) {
					attach(t, x, plugin("org.example.watch", onFrame(anchor, "process_frame", wire.Crypto, func(call *protoops.Call) error {
						watched++
						if anchor == protoops.Replace {
							call.Native()
						}
						return nil
					})))
				}),
				onClient(func(x *Conn) { attachGreeter(t, x, c) }))
			if watched == 0 || string(s.theirs) != "hello" || string(c.theirs) != "good day" {
				t.Errorf("watched %d frames; the server read %q, the client %q", watched, s.theirs, c.theirs)
			}
			l.noFault(l.s)
		})
	}
}

// Each plugin's time comes, whatever the others ask for.
func TestPluginTimersOfSeveralPlugins(t *testing.T) {
	l := connected(t)
	l.wait(time.Second)
	start := l.now
	var fired []time.Duration
	attach(t, l.c, plugin("org.example.timer", post("plugin_timer", func(*protoops.Call) error {
		fired = append(fired, l.c.Now().Sub(start))
		return nil
	})))
	for _, ms := range []int{300, 100, 200, 100} {
		if !l.c.SetPluginTimer(start.Add(time.Duration(ms) * time.Millisecond)) {
			t.Error("not remembered")
		}
	}
	l.wait(time.Second)
	if len(fired) != 3 || fired[0] != 100*time.Millisecond || fired[1] != 200*time.Millisecond || fired[2] != 300*time.Millisecond {
		t.Errorf("fired at %v", fired)
	}
	fired, start = nil, l.now
	l.c.SetPluginTimer(mono.Time(1)) // long past: soon, not at once
	for i := range 2 * maxPluginTimers {
		ok := l.c.SetPluginTimer(start.Add(time.Duration(i+1) * time.Millisecond))
		if ok != (i < maxPluginTimers-1) {
			t.Errorf("instant %d remembered: %v", i, ok)
		}
	}
	l.wait(time.Second)
	if len(fired) != maxPluginTimers || fired[0] > minPluginTimer {
		t.Errorf("fired %d times, first after %v", len(fired), fired[0])
	}
}
