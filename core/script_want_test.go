package core

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pquic-go/pquic/core/wire"
)

func (tc *testConn) isIgnored(f any) bool { return tc.ignored[scriptFrameType(f)] }

// watch makes the script see frames it would ignore.
func (tc *testConn) watch(types ...wire.FrameType) {
	for _, t := range types {
		delete(tc.ignored, t)
	}
}

// ignore makes the script skip frames of a type.
func (tc *testConn) ignore(types ...wire.FrameType) {
	for _, t := range types {
		tc.ignored[t] = true
	}
}

// nextFrame takes the next frame that matters; nil if there is none.
func (tc *testConn) nextFrame() (any, *scriptPacket) {
	tc.t.Helper()
	tc.flush()
	for len(tc.queue) > 0 {
		p := tc.queue[0]
		for len(p.frames) > 0 {
			f := p.frames[0]
			p.frames = p.frames[1:]
			if !tc.isIgnored(f) {
				tc.current = p
				return f, p
			}
		}
		tc.queue = tc.queue[1:]
	}
	return nil, nil
}

// wantFrame asserts what the engine sends next.
func (tc *testConn) wantFrame(why string, want any) *scriptPacket {
	tc.t.Helper()
	got, p := tc.nextFrame()
	if got == nil {
		tc.t.Fatalf("%s: engine sent nothing, want %s%s", why, frameString(want), tc.state())
	}
	if !sameFrame(got, want) {
		tc.t.Fatalf("%s:\n got %s\nwant %s%s", why, frameString(got), frameString(want), tc.state())
	}
	return p
}

// wantFrames asserts several frames in order.
func (tc *testConn) wantFrames(why string, want ...any) {
	tc.t.Helper()
	for _, f := range want {
		tc.wantFrame(why, f)
	}
}

// wantType asserts the type of the next frame and returns it.
func wantType[F any](tc *testConn, why string) F {
	tc.t.Helper()
	got, _ := tc.nextFrame()
	f, ok := got.(F)
	if !ok {
		var want F
		tc.t.Fatalf("%s:\n got %s\nwant a %T%s", why, frameString(got), want, tc.state())
	}
	return f
}

// wantIdle asserts that the engine has nothing more to send now.
func (tc *testConn) wantIdle(why string) {
	tc.t.Helper()
	if f, _ := tc.nextFrame(); f != nil {
		tc.t.Fatalf("%s: engine sent %s, want nothing%s", why, frameString(f), tc.state())
	}
}

// wantNothing asserts that not even ignored frames were sent.
func (tc *testConn) wantNothing(why string) {
	tc.t.Helper()
	tc.flush()
	tc.dropIf(func(any) bool { return false }) // packets the script has read
	if len(tc.queue) > 0 {
		tc.t.Fatalf("%s: engine sent %s, want no packet%s", why, frameString(tc.queue[0].frames), tc.state())
	}
}

// wantAck asserts that an acknowledgment is sent now and returns it.
func (tc *testConn) wantAck(why string) ackFrame {
	tc.t.Helper()
	tc.flush()
	for i, p := range tc.queue {
		for j, f := range p.frames {
			if a, ok := f.(ackFrame); ok {
				p.frames = slices.Delete(p.frames, j, j+1)
				if len(p.frames) == 0 {
					tc.queue = slices.Delete(tc.queue, i, i+1)
				}
				tc.current = p
				return a
			}
		}
	}
	tc.t.Fatalf("%s: no acknowledgment was sent%s", why, tc.state())
	return ackFrame{}
}

// wantNoAck asserts that none is.
func (tc *testConn) wantNoAck(why string) {
	tc.t.Helper()
	tc.flush()
	for _, p := range tc.queue {
		for _, f := range p.frames {
			if a, ok := f.(ackFrame); ok {
				tc.t.Fatalf("%s: engine sent %s", why, frameString(a))
			}
		}
	}
}

// wantClose asserts that the engine closed the connection with a transport
// error.
func (tc *testConn) wantClose(why string, code TransportErrorCode) wire.ConnectionCloseFrame {
	tc.t.Helper()
	for {
		f, _ := tc.nextFrame()
		if f == nil {
			tc.t.Fatalf("%s: connection not closed, want %v%s", why, code, tc.state())
		}
		c, ok := f.(wire.ConnectionCloseFrame)
		if !ok {
			continue
		}
		if c.Application || TransportErrorCode(c.ErrorCode) != code {
			tc.t.Fatalf("%s: closed with %s (%q), want %v", why, frameString(c), c.Reason, code)
		}
		if tc.conn != nil && tc.conn.v.State != StateClosing {
			tc.t.Fatalf("%s: state %s after the close", why, stateNames[tc.conn.v.State])
		}
		tc.queue = nil
		return c
	}
}

// wantOpen asserts that the connection lives.
func (tc *testConn) wantOpen(why string) {
	tc.t.Helper()
	tc.flush()
	if tc.conn.v.State >= StateClosing {
		tc.t.Fatalf("%s: connection ended: %v", why, tc.conn.Err())
	}
}

func (tc *testConn) state() string {
	var b strings.Builder
	if tc.conn != nil {
		fmt.Fprintf(&b, "\nat %v, state %s", tc.now.Sub(scriptEpoch), stateNames[tc.conn.v.State])
		if err := tc.conn.Err(); err != nil {
			fmt.Fprintf(&b, ", %v", err)
		}
	}
	for _, p := range tc.queue {
		fmt.Fprintf(&b, "\n  then packet %d: %s", p.number, frameString(p.frames))
	}
	return b.String()
}

func sameFrame(a, b any) bool {
	if x, ok := a.(wire.StreamFrame); ok {
		y, ok := b.(wire.StreamFrame)
		return ok && x.ID == y.ID && x.Offset == y.Offset && x.Fin == y.Fin && bytes.Equal(x.Data, y.Data)
	}
	if x, ok := a.(wire.CryptoFrame); ok {
		y, ok := b.(wire.CryptoFrame)
		return ok && x.Offset == y.Offset && bytes.Equal(x.Data, y.Data)
	}
	return reflect.DeepEqual(a, b)
}

func frameString(f any) string {
	switch f := f.(type) {
	case nil:
		return "nothing"
	case []any:
		var s []string
		for _, x := range f {
			s = append(s, frameString(x))
		}
		return strings.Join(s, ", ")
	case wire.StreamFrame:
		return fmt.Sprintf("STREAM{ID:%d Offset:%d Fin:%v Data:%d %q}", f.ID, f.Offset, f.Fin, len(f.Data), f.Data[:min(len(f.Data), 16)])
	case wire.CryptoFrame:
		return fmt.Sprintf("CRYPTO{Offset:%d Data:%d}", f.Offset, len(f.Data))
	case wire.PaddingFrame:
		return "PADDING"
	case statelessReset:
		return fmt.Sprintf("unreadable datagram of %d bytes", len(f))
	}
	return fmt.Sprintf("%T%+v", f, f)
}
