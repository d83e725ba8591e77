package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
)

// The states of the sending part, walked edge by edge.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.1
func TestSendStates(t *testing.T) {
	type step struct {
		do   func(tc *testConn, s *Stream)
		want stream.SendState
	}
	write := func(d string, fin bool) func(*testConn, *Stream) {
		return func(tc *testConn, s *Stream) { tc.writeStream(s, d, fin); tc.flush() }
	}
	ack := func(tc *testConn, _ *Stream) { tc.ackAll(level1RTT) }
	reset := func(reliable uint64) func(*testConn, *Stream) {
		return func(tc *testConn, s *Stream) { tc.conn.ResetStream(tc.now, s, 1, reliable); tc.flush() }
	}
	stop := func(tc *testConn, s *Stream) { tc.write1RTT(wire.StopSendingFrame{ID: s.ID, ErrorCode: 2}) }
	for name, steps := range map[string][]step{
		"data and its end": {
			{write("", false), stream.SendReady},
			{write("abc", false), stream.SendSend},
			{ack, stream.SendSend},
			{write("d", true), stream.SendDataSent},
			{ack, stream.SendDataRecvd},
		},
		"end alone":           {{write("", true), stream.SendDataSent}, {ack, stream.SendDataRecvd}},
		"reset when ready":    {{reset(0), stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"reset while sending": {{write("abc", false), stream.SendSend}, {reset(0), stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"reset after the end": {{write("abc", true), stream.SendDataSent}, {reset(0), stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"reset when received": {{write("abc", true), stream.SendDataSent}, {ack, stream.SendDataRecvd}, {reset(0), stream.SendDataRecvd}},
		"stopped when ready":  {{stop, stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"stopped, sending":    {{write("abc", false), stream.SendSend}, {stop, stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"stopped, data sent":  {{write("abc", true), stream.SendDataSent}, {stop, stream.SendResetSent}, {ack, stream.SendResetRecvd}},
		"reliable reset":      {{write("abc", false), stream.SendSend}, {reset(2), stream.SendDataSent}, {ack, stream.SendDataRecvd}},
		"reliable, then not":  {{write("abc", false), stream.SendSend}, {reset(2), stream.SendDataSent}, {reset(0), stream.SendResetSent}, {ack, stream.SendResetRecvd}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bidi := range []bool{true, false} {
				tc := newTestConn(t, clientSide)
				s := tc.openStream(bidi)
				for i, st := range steps {
					st.do(tc, s)
					if got := s.sendHalf.State(); got != st.want {
						t.Fatalf("bidirectional %v, step %d: state %v, want %v", bidi, i, got, st.want)
					}
				}
				tc.wantOpen(name)
			}
		})
	}
}

// The states of the receiving part.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.2
func TestRecvStates(t *testing.T) {
	type step struct {
		do   func(tc *testConn, s *Stream)
		want stream.RecvState
	}
	data := func(off uint64, d string, fin bool) func(*testConn, *Stream) {
		return func(tc *testConn, s *Stream) { tc.write1RTT(streamF(s.ID, off, d, fin)) }
	}
	reset := func(final uint64) func(*testConn, *Stream) {
		return func(tc *testConn, s *Stream) {
			tc.write1RTT(wire.ResetStreamFrame{ID: s.ID, ErrorCode: 3, FinalSize: final})
		}
	}
	resetAt := func(final, reliable uint64) func(*testConn, *Stream) {
		return func(tc *testConn, s *Stream) {
			tc.write1RTT(wire.ResetStreamAtFrame{ID: s.ID, ErrorCode: 3, FinalSize: final, ReliableSize: reliable})
		}
	}
	read := func(tc *testConn, s *Stream) { tc.readStream(s) }
	for name, steps := range map[string][]step{
		"data, end, read":        {{data(0, "abc", false), stream.RecvRecv}, {data(3, "", true), stream.RecvDataRecvd}, {read, stream.RecvDataRead}},
		"end before data":        {{data(3, "d", true), stream.RecvSizeKnown}, {data(0, "abc", false), stream.RecvDataRecvd}, {read, stream.RecvDataRead}},
		"reset":                  {{data(0, "abc", false), stream.RecvRecv}, {reset(5), stream.RecvResetRead}},
		"reset when size known":  {{data(3, "d", true), stream.RecvSizeKnown}, {reset(4), stream.RecvResetRead}},
		"reset after all data":   {{data(0, "abc", true), stream.RecvDataRecvd}, {reset(3), stream.RecvDataRecvd}, {read, stream.RecvDataRead}},
		"reliable reset":         {{data(0, "a", false), stream.RecvRecv}, {resetAt(9, 3), stream.RecvSizeKnown}, {data(1, "bc", false), stream.RecvDataRecvd}, {read, stream.RecvDataRead}},
		"reliable, data first":   {{data(0, "abcd", false), stream.RecvRecv}, {resetAt(9, 3), stream.RecvDataRecvd}, {read, stream.RecvDataRead}},
		"reliable, then not":     {{resetAt(9, 3), stream.RecvSizeKnown}, {resetAt(9, 0), stream.RecvResetRead}},
		"reliable is not raised": {{resetAt(9, 1), stream.RecvSizeKnown}, {resetAt(9, 3), stream.RecvSizeKnown}, {data(0, "a", false), stream.RecvDataRecvd}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bidi := range []bool{true, false} {
				tc := newTestConn(t, serverSide)
				id := tc.peerStream(0, bidi)
				tc.write1RTT(streamF(id, 0, "", false)) // opens it
				s := tc.stream(id)
				for i, st := range steps {
					st.do(tc, s)
					if got := s.recvHalf.State(); got != st.want {
						t.Fatalf("bidirectional %v, step %d: state %v, want %v%s", bidi, i, got, st.want, tc.state())
					}
				}
				tc.wantOpen(name)
			}
		})
	}
}

// What the application is told of a reset, and that data below the reliable
// size reaches it.
func TestResetStreamAtDelivery(t *testing.T) {
	tc := newTestConn(t, serverSide)
	id := tc.peerStream(0, false)
	tc.write1RTT(wire.ResetStreamAtFrame{ID: id, ErrorCode: 77, FinalSize: 10, ReliableSize: 4})
	s := tc.stream(id)
	if _, ended := s.RecvFIFO().ResetCode(); ended {
		t.Error("reset before the reliable bytes arrived")
	}
	tc.write1RTT(streamF(id, 2, "cdef", false))
	tc.write1RTT(streamF(id, 0, "ab", false))
	if got := tc.readStream(s); got != "abcd" {
		t.Errorf("read %q", got)
	}
	if code, ended := s.RecvFIFO().ResetCode(); !ended || code != 77 {
		t.Errorf("reset %v with code %d", ended, code)
	}
	if len(tc.h.closed) != 1 {
		t.Error("stream not closed")
	}
	if got := tc.h.resets[id]; got != 77 {
		t.Errorf("application told of code %d", got)
	}
}

// The application's RESET_STREAM_AT falls back to RESET_STREAM where the peer
// does not know the extension.
func TestResetStreamAtNotNegotiated(t *testing.T) {
	tc := newTestConn(t, clientSide, peerParams(func(tp *wire.TransportParameters) { tp.ResetStreamAt = false }))
	s := tc.openStream(true)
	tc.writeStream(s, "hello", false)
	tc.wantFrame("data", streamF(0, 0, "hello", false))
	tc.conn.ResetStream(tc.now, s, 5, 3)
	tc.wantFrame("plain reset", wire.ResetStreamFrame{ID: 0, ErrorCode: 5, FinalSize: 5})
}

// RESET_STREAM_AT waits until the bytes below the reliable size were sent.
func TestResetStreamAtWaitsForCredit(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.StreamWindow = 3 }))
	tc.ignore(wire.NoFrameType)
	s := tc.openStream(true)
	tc.writeStream(s, "hello world", false)
	tc.wantFrame("data", streamF(0, 0, "hel", false))
	tc.conn.ResetStream(tc.now, s, 5, 6)
	tc.wantIdle("no credit for the reliable bytes")
	tc.write1RTT(wire.MaxStreamDataFrame{ID: 0, Max: 100})
	tc.watch(wire.NoFrameType)
	var got []any
	for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
		got = append(got, f)
	}
	var data, reset bool
	for _, f := range got {
		data = data || sameFrame(f, streamF(0, 3, "lo ", false))
		reset = reset || sameFrame(f, wire.ResetStreamAtFrame{ID: 0, ErrorCode: 5, FinalSize: 6, ReliableSize: 6})
	}
	if !data || !reset {
		t.Errorf("sent %s", frameString(got))
	}
}

// "An endpoint that receives a STOP_SENDING frame MUST send a RESET_STREAM
// frame if the stream is in the 'Ready' or 'Send' state. … SHOULD copy the
// error code".
// https://www.rfc-editor.org/rfc/rfc9000#section-3.5
func TestStopSending(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		s := tc.openStream(true)
		tc.writeStream(s, "hello", false)
		tc.wantFrame("data", streamF(s.ID, 0, "hello", false))
		tc.write1RTT(wire.StopSendingFrame{ID: s.ID, ErrorCode: 33})
		tc.wantFrame("reset with the peer's code", wire.ResetStreamFrame{ID: s.ID, ErrorCode: 33, FinalSize: 5})
		if tc.h.stops[s.ID] != 33 {
			t.Error("application was not told")
		}
		if _, closed := s.SendFIFO().ReadClosed(); !closed {
			t.Error("application may still write")
		}
		tc.write1RTT(wire.StopSendingFrame{ID: s.ID, ErrorCode: 34})
		tc.wantIdle("once is enough")
	})
}

// A stopped stream goes on to count against flow control and ends when its
// final size is known.
func TestStopSendingByUs(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.ConnWindow, c.MaxConnWindow = 100, 100 }))
	id := tc.peerStream(0, false)
	tc.write1RTT(streamF(id, 0, "hello", false))
	s := tc.stream(id)
	tc.conn.StopSending(tc.now, s, 4)
	tc.wantFrame("asked", wire.StopSendingFrame{ID: id, ErrorCode: 4})
	tc.write1RTT(streamF(id, 5, strings.Repeat("x", 90), false))
	tc.wantFrame("credit of discarded bytes comes back", wire.MaxDataFrame{Max: 195})
	tc.write1RTT(wire.ResetStreamFrame{ID: id, ErrorCode: 4, FinalSize: 100})
	tc.wantOpen("peer has reset")
	if len(tc.h.closed) != 1 {
		t.Error("stream not closed")
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#section-19.4 to 19.13: frames about
// streams that cannot be.
func TestStreamStateErrors(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		probe := newTestConn(t, side)
		ownUni, peerUni := probe.ownStream(0, false), probe.peerStream(0, false)
		ownBidi := probe.ownStream(0, true)
		for _, x := range []struct {
			why   string
			frame any
			code  TransportErrorCode
		}{
			{"STREAM on a send-only stream", streamF(ownUni, 0, "x", false), StreamStateError},
			{"RESET_STREAM on a send-only stream", wire.ResetStreamFrame{ID: ownUni}, StreamStateError},
			{"RESET_STREAM_AT on a send-only stream", wire.ResetStreamAtFrame{ID: ownUni}, StreamStateError},
			{"STREAM_DATA_BLOCKED on a send-only stream", wire.StreamDataBlockedFrame{ID: ownUni}, StreamStateError},
			{"STOP_SENDING on a receive-only stream", wire.StopSendingFrame{ID: peerUni}, StreamStateError},
			{"MAX_STREAM_DATA on a receive-only stream", wire.MaxStreamDataFrame{ID: peerUni, Max: 1}, StreamStateError},
			{"STREAM on our stream not opened yet", streamF(ownBidi, 0, "x", false), StreamStateError},
			{"STOP_SENDING on our stream not opened yet", wire.StopSendingFrame{ID: ownBidi}, StreamStateError},
			{"MAX_STREAM_DATA on our stream not opened yet", wire.MaxStreamDataFrame{ID: ownBidi, Max: 1}, StreamStateError},
			{"RESET_STREAM on our stream not opened yet", wire.ResetStreamFrame{ID: ownBidi}, StreamStateError},
		} {
			t.Run(x.why, func(t *testing.T) {
				tc := newTestConn(t, side)
				tc.write1RTT(x.frame)
				tc.wantClose(x.why, x.code)
			})
		}
	})
}

// "Endpoints MUST NOT exceed the limit set by their peer. An endpoint that
// receives a frame with a stream ID exceeding the limit it has sent MUST treat
// this as a connection error of type STREAM_LIMIT_ERROR."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.6
func TestStreamLimit(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, bidi := range []bool{true, false} {
			frames := func(id uint64) []any {
				f := []any{streamF(id, 0, "x", false), wire.ResetStreamFrame{ID: id}, wire.StreamDataBlockedFrame{ID: id}}
				if bidi {
					f = append(f, wire.StopSendingFrame{ID: id}, wire.MaxStreamDataFrame{ID: id, Max: 1})
				}
				return f
			}
			limits := engineConfig(func(c *Config) { c.MaxBidiStreams, c.MaxUniStreams = 3, 3 })
			for i := range frames(0) {
				tc := newTestConn(t, side, limits)
				tc.write1RTT(frames(tc.peerStream(2, bidi))[i])
				tc.wantOpen("the last stream allowed")
				if n := len(tc.h.opened); n != 3 {
					t.Errorf("%d streams opened, want all up to the third", n)
				}
				tc.write1RTT(frames(tc.peerStream(5, bidi))[i])
				tc.wantClose(fmt.Sprintf("one too many, frame %d", i), StreamLimitError)
			}
			tc := newTestConn(t, side, limits)
			tc.write1RTT(streamF(tc.peerStream(1<<60-1, bidi), 0, "x", false))
			tc.wantClose("the largest stream ID", StreamLimitError)
		}
	})
}

// New streams are allowed as old ones end, with their number.
func TestStreamLimitRenewed(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxBidiStreams, c.MaxUniStreams = 2, 2 }))
	for i := range uint64(20) {
		id := tc.peerStream(i, true)
		tc.write1RTT(streamF(id, 0, "q", true))
		s := tc.stream(id)
		tc.readStream(s)
		tc.writeStream(s, "a", true)
		tc.wantFrame("answer", streamF(id, 0, "a", true))
		tc.ackAll(level1RTT)
		tc.wantFrame("another stream may be opened", wire.MaxStreamsFrame{Max: i + 3})
	}
	if n := tc.conn.OpenStreams(); n != 0 {
		t.Errorf("%d streams still held", n)
	}
}

func TestStreamsBlocked(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.MaxBidiStreams = 1 }))
	tc.openStream(true)
	if _, err := tc.conn.OpenStream(true); err != ErrStreamLimit {
		t.Fatalf("second stream: %v", err)
	}
	tc.wantFrame("limit met", wire.StreamsBlockedFrame{Limit: 1})
	n := tc.h.available[0]
	tc.write1RTT(wire.MaxStreamsFrame{Max: 1})
	if tc.h.available[0] != n {
		t.Error("told of a limit that did not rise")
	}
	tc.write1RTT(wire.MaxStreamsFrame{Max: 2})
	if tc.h.available[0] != n+1 {
		t.Error("not told of the new limit")
	}
	tc.write1RTT(wire.MaxStreamsFrame{Max: 1}) // "MUST be ignored"
	if s := tc.openStream(true); s.ID != 4 {
		t.Errorf("stream %d", s.ID)
	}
}

// A stream the peer opens out of order opens those before it.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.2
func TestStreamsOpenInOrder(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(streamF(tc.peerStream(3, true), 0, "x", false))
	for i, s := range tc.h.opened {
		if s.ID != tc.peerStream(uint64(i), true) {
			t.Errorf("stream %d opened at place %d", s.ID, i)
		}
	}
	if len(tc.h.opened) != 4 {
		t.Errorf("%d streams", len(tc.h.opened))
	}
	// The server may answer on those that carry nothing yet.
	tc.writeStream(tc.stream(0), "hi", false)
	tc.wantFrame("data on an idle stream", streamF(0, 0, "hi", false))
}

// "A receiver MUST close the connection with an error of type
// FLOW_CONTROL_ERROR if the sender violates the advertised connection or stream
// data limits."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
func TestFlowControlViolated(t *testing.T) {
	const win = 1000
	windows := func(stream, conn uint64) scriptOption {
		return engineConfig(func(c *Config) {
			c.StreamWindow, c.MaxStreamWindow, c.ConnWindow, c.MaxConnWindow = stream, stream, conn, conn
		})
	}
	full := strings.Repeat("x", win)
	bothSides(t, func(t *testing.T, side scriptSide) {
		for name, x := range map[string]struct {
			opt   scriptOption
			fine  func(tc *testConn) []any
			wrong func(tc *testConn) []any
		}{
			"stream data": {windows(win, 10*win),
				func(tc *testConn) []any { return []any{streamF(tc.peerStream(0, false), 0, full, false)} },
				func(tc *testConn) []any { return []any{streamF(tc.peerStream(0, false), win, "x", false)} }},
			"stream end": {windows(win, 10*win),
				func(tc *testConn) []any { return []any{streamF(tc.peerStream(0, false), win, "", false)} },
				func(tc *testConn) []any { return []any{streamF(tc.peerStream(0, false), win+1, "", true)} }},
			"stream reset": {windows(win, 10*win),
				func(tc *testConn) []any {
					return []any{wire.ResetStreamFrame{ID: tc.peerStream(0, false), FinalSize: win}}
				},
				func(tc *testConn) []any {
					return []any{wire.ResetStreamFrame{ID: tc.peerStream(1, false), FinalSize: win + 1}}
				}},
			"connection data": {windows(win, 2*win),
				func(tc *testConn) []any {
					return []any{streamF(tc.peerStream(0, false), win-1, "x", false), streamF(tc.peerStream(1, false), win-1, "x", false)}
				},
				func(tc *testConn) []any { return []any{streamF(tc.peerStream(0, true), 0, "x", false)} }},
			"connection reset": {windows(win, 2*win),
				func(tc *testConn) []any {
					return []any{wire.ResetStreamFrame{ID: tc.peerStream(0, false), FinalSize: win}, streamF(tc.peerStream(1, false), win-1, "x", false)}
				},
				func(tc *testConn) []any {
					return []any{streamF(tc.peerStream(2, false), win-1, "x", false), streamF(tc.peerStream(3, false), win-1, "x", false)}
				}},
			"far beyond": {windows(win, 2*win),
				func(tc *testConn) []any { return []any{wire.PingFrame{}} },
				func(tc *testConn) []any {
					return []any{streamF(tc.peerStream(0, false), 1<<62-2, "x", false)}
				}},
		} {
			t.Run(name, func(t *testing.T) {
				tc := newTestConn(t, side, x.opt)
				tc.write1RTT(x.fine(tc)...)
				tc.wantOpen("within the limit")
				tc.write1RTT(x.wrong(tc)...)
				tc.wantClose("beyond the limit", FlowControlError)
			})
		}
	})
}

// "…a receiver MUST NOT … FRAME_ENCODING_ERROR": the sum of offset and length
// cannot exceed 2^62-1.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
func TestStreamOffsetOverflow(t *testing.T) {
	tc := newTestConn(t, serverSide)
	raw := append([]byte{0x0e}, varints(0, 1<<62-1, 2)...)
	tc.write1RTT(append(raw, "xx"...))
	tc.wantClose("offset plus length beyond 2^62-1", FrameEncodingError)
}

// The engine obeys the peer's limits to the byte.
func TestFlowControlObeyed(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.StreamWindow, c.ConnWindow = 1000, 1500 }))
	a, b := tc.openStream(true), tc.openStream(true)
	data := strings.Repeat("x", 2000)
	tc.writeStream(a, data, true)
	tc.writeStream(b, data, true)
	sent := map[uint64]uint64{}
	var blocked []any
	collect := func() {
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			switch f := f.(type) {
			case wire.StreamFrame:
				sent[f.ID] = max(sent[f.ID], f.Offset+uint64(len(f.Data)))
				if f.Fin {
					t.Errorf("end of stream %d sent beyond credit", f.ID)
				}
			default:
				blocked = append(blocked, f)
			}
		}
	}
	collect()
	if sent[0]+sent[4] != 1500 || sent[0] > 1000 || sent[4] > 1000 {
		t.Fatalf("sent %v under limits of 1000 and 1500", sent)
	}
	tc.ackAll(level1RTT)
	tc.write1RTT(wire.MaxDataFrame{Max: 1600}, wire.MaxDataFrame{Max: 10}) // lower ones are ignored
	collect()
	if sent[0]+sent[4] != 1600 {
		t.Fatalf("sent %v under a connection limit of 1600", sent)
	}
	tc.write1RTT(wire.MaxDataFrame{Max: 5000})
	collect()
	if sent[0] != 1000 || sent[4] != 1000 {
		t.Fatalf("sent %v under stream limits of 1000", sent)
	}
	tc.write1RTT(wire.MaxStreamDataFrame{ID: 4, Max: 1200}, wire.MaxStreamDataFrame{ID: 4, Max: 1})
	collect()
	if sent[0] != 1000 || sent[4] != 1200 {
		t.Fatalf("sent %v under stream limits of 1000 and 1200", sent)
	}
	var data4, conn4 bool
	for _, f := range blocked {
		switch f := f.(type) {
		case wire.DataBlockedFrame:
			conn4 = conn4 || f.Limit == 1500
		case wire.StreamDataBlockedFrame:
			data4 = data4 || f.Limit == 1000
		}
	}
	if !data4 || !conn4 {
		t.Errorf("peer was not told of the limits: %s", frameString(blocked))
	}
}

// A stream's end needs no credit.
func TestFinWithoutCredit(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.StreamWindow, c.ConnWindow = 5, 5 }))
	s := tc.openStream(true)
	tc.writeStream(s, "hello", false)
	tc.wantFrame("all credit used", streamF(0, 0, "hello", false))
	tc.dropIf(func(f any) bool { _, ok := f.(wire.DataBlockedFrame); return ok || tc.isIgnored(f) })
	tc.writeStream(s, "", true)
	tc.wantFrame("end of stream", streamF(0, 5, "", true))
	empty := tc.openStream(false)
	tc.writeStream(empty, "", true)
	tc.wantFrame("empty stream", streamF(empty.ID, 0, "", true))
}

// DATA_BLOCKED says that something waits: not when all was sent.
func TestDataBlockedOnlyWhenBlocked(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.ConnWindow = 5 }))
	s := tc.openStream(true)
	tc.writeStream(s, "hello", false)
	tc.wantFrame("all credit used", streamF(0, 0, "hello", false))
	tc.wantIdle("nothing waits")
	tc.writeStream(s, "x", false)
	tc.wantFrame("now something does", wire.DataBlockedFrame{Limit: 5})
	tc.writeStream(s, "y", false)
	tc.wantIdle("told already")
	tc.ackAll(level1RTT)
	tc.write1RTT(wire.MaxDataFrame{Max: 6})
	tc.wantFrame("credit used", streamF(0, 5, "x", false))
	tc.wantFrame("blocked at the new limit", wire.DataBlockedFrame{Limit: 6})
}

// https://www.rfc-editor.org/rfc/rfc9000#section-4.5
func TestFinalSize(t *testing.T) {
	fin := func(id, size uint64) any { return streamF(id, size, "", true) }
	reset := func(id, size uint64) any { return wire.ResetStreamFrame{ID: id, FinalSize: size} }
	resetAt := func(id, size uint64) any { return wire.ResetStreamAtFrame{ID: id, FinalSize: size, ReliableSize: 1} }
	data := func(id, end uint64) any { return streamF(id, end-1, "x", false) }
	for _, x := range []struct {
		why         string
		first, then func(id, n uint64) any
		a, b        uint64
		wrong       bool
	}{
		{"end repeated", fin, fin, 10, 10, false},
		{"end raised", fin, fin, 10, 11, true},
		{"end lowered", fin, fin, 10, 9, true},
		{"data beyond the end", fin, data, 10, 11, true},
		{"data up to the end", fin, data, 10, 10, false},
		{"end below data", data, fin, 10, 9, true},
		{"end at data", data, fin, 10, 10, false},
		{"reset below data", data, reset, 10, 9, true},
		{"reset at another size", fin, reset, 10, 11, true},
		{"reset at a lower size", fin, reset, 10, 9, true},
		{"reset at the size", fin, reset, 10, 10, false},
		{"reliable reset below data", data, resetAt, 10, 9, true},
		{"reliable resets differ", resetAt, resetAt, 10, 11, true},
		{"reliable reset and end differ", resetAt, fin, 10, 11, true},
		{"data beyond a reliable reset", resetAt, data, 10, 11, true},
	} {
		t.Run(x.why, func(t *testing.T) {
			tc := newTestConn(t, serverSide)
			id := tc.peerStream(0, true)
			tc.write1RTT(x.first(id, x.a))
			tc.write1RTT(x.then(id, x.b))
			if x.wrong {
				tc.wantClose(x.why, FinalSizeError)
				return
			}
			tc.wantOpen(x.why)
		})
	}
}

func TestResetStreamAtErrors(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.ResetStreamAtFrame{ID: 0, ErrorCode: 1, FinalSize: 10, ReliableSize: 4})
	tc.write1RTT(wire.ResetStreamAtFrame{ID: 0, ErrorCode: 2, FinalSize: 10, ReliableSize: 3})
	tc.wantClose("error code changed", StreamStateError)
	tc = newTestConn(t, serverSide)
	raw := append([]byte{0x24}, varints(0, 1, 10, 11)...)
	tc.write1RTT(raw)
	tc.wantClose("reliable size beyond the final size", FrameEncodingError)
}

// All bytes of reset and ended streams count against the connection's credit
// and come back.
func TestConnectionCreditReturns(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) {
		c.StreamWindow, c.MaxStreamWindow, c.ConnWindow, c.MaxConnWindow = 1000, 1000, 1000, 1000
		c.MaxUniStreams = 1000
	}))
	for i := range uint64(500) {
		id := tc.peerStream(i, false)
		switch i % 3 {
		case 0: // read to the end
			tc.write1RTT(streamF(id, 0, strings.Repeat("x", 500), true))
			tc.readStream(tc.stream(id))
		case 1: // reset, most of it never sent
			tc.write1RTT(streamF(id, 0, "x", false), wire.ResetStreamFrame{ID: id, FinalSize: 500})
		case 2: // stopped
			tc.write1RTT(streamF(id, 499, "x", false))
			tc.conn.StopSending(tc.now, tc.stream(id), 0)
			tc.write1RTT(wire.ResetStreamFrame{ID: id, FinalSize: 500})
		}
		tc.wantOpen(fmt.Sprintf("after %d streams", i+1))
	}
	if got, want := tc.conn.v.MaxDataLocal, uint64(250_000+500); got < want {
		t.Errorf("connection credit is %d, want at least %d", got, want)
	}
}

// Segments of any size, order and overlap make the same bytes.
func TestStreamReassembly(t *testing.T) {
	want := make([]byte, 3000)
	seededRandom(9)(want)
	tc := newTestConn(t, serverSide)
	id := tc.peerStream(0, false)
	for _, step := range []int{7, 100, 333} {
		for off := (len(want) - 1) / step * step; off >= 0; off -= 2 * step {
			tc.write1RTT(streamF(id, uint64(off), string(want[off:min(off+step+3, len(want))]), false))
		}
	}
	tc.write1RTT(streamF(id, 0, string(want[:1000]), false))
	for off := 0; off < len(want); off += 1000 {
		tc.write1RTT(streamF(id, uint64(off), string(want[off:off+1000]), off == 2000))
	}
	if got := tc.readStream(tc.stream(id)); !bytes.Equal([]byte(got), want) {
		t.Error("other bytes than sent")
	}
	if len(tc.h.closed) != 1 {
		t.Error("stream not closed")
	}
}
