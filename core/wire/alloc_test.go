package wire

import (
	"slices"
	"testing"
)

// samplePayload returns a payload with each kind of frame, and the frames in
// it one by one.
func samplePayload(t testing.TB) (payload []byte, frames [][]byte) {
	id := mustConnID(t, "0102030405060708")
	data := make([]byte, 100)
	frames = [][]byte{
		AppendPadding(nil, 3),
		AppendPing(nil),
		AppendAck(nil, Ack, []PNRange{{900, 1000}, {500, 800}, {3, 3}}, 70, ECNCounts{}, 100),
		AppendAck(nil, AckECN, []PNRange{{900, 1000}, {500, 800}}, 70, ECNCounts{1, 2, 3}, 100),
		AppendResetStream(nil, ResetStreamFrame{4, 5, 6000}),
		AppendStopSending(nil, StopSendingFrame{4, 5}),
		AppendCrypto(nil, CryptoFrame{100, data}),
		AppendNewToken(nil, NewTokenFrame{data}),
		AppendMaxData(nil, MaxDataFrame{1 << 20}),
		AppendMaxStreamData(nil, MaxStreamDataFrame{4, 1 << 20}),
		AppendMaxStreams(nil, MaxStreamsFrame{100, false}),
		AppendMaxStreams(nil, MaxStreamsFrame{100, true}),
		AppendDataBlocked(nil, DataBlockedFrame{1 << 20}),
		AppendStreamDataBlocked(nil, StreamDataBlockedFrame{4, 1 << 20}),
		AppendStreamsBlocked(nil, StreamsBlockedFrame{100, false}),
		AppendStreamsBlocked(nil, StreamsBlockedFrame{100, true}),
		AppendNewConnectionID(nil, NewConnectionIDFrame{Sequence: 3, RetirePriorTo: 1, ConnID: id}),
		AppendRetireConnectionID(nil, RetireConnectionIDFrame{2}),
		AppendPathChallenge(nil, PathChallengeFrame{[8]byte{1, 2, 3}}),
		AppendPathResponse(nil, PathResponseFrame{[8]byte{1, 2, 3}}),
		AppendConnectionClose(nil, ConnectionCloseFrame{ErrorCode: 7, FrameType: Stream, Reason: []byte("why")}),
		AppendConnectionClose(nil, ConnectionCloseFrame{Application: true, ErrorCode: 7, Reason: []byte("why")}),
		AppendHandshakeDone(nil),
		AppendImmediateAck(nil),
		AppendResetStreamAt(nil, ResetStreamAtFrame{4, 5, 6000, 500}),
		AppendAckFrequency(nil, AckFrequencyFrame{1, 10, 25000, 3}),
		AppendStream(nil, StreamFrame{4, 1 << 20, data, false}, true),
		AppendStream(nil, StreamFrame{4, 0, data, true}, false),
	}
	return slices.Concat(frames...), frames
}

// rewriteFrame parses the frame of type typ at the start of b and writes it to
// out. n is 0 if it is malformed or typ is unknown.
func rewriteFrame(out, b []byte, typ FrameType) (_ []byte, n int) {
	switch typ {
	case Padding:
		f, n := ParsePadding(b)
		return AppendPadding(out, f.Length), n
	case Ping:
		_, n := ParsePing(b)
		return AppendPing(out), n
	case Ack, AckECN:
		return rewriteAck(out, b, typ)
	case ResetStream:
		f, n := ParseResetStream(b)
		return AppendResetStream(out, f), n
	case StopSending:
		f, n := ParseStopSending(b)
		return AppendStopSending(out, f), n
	case Crypto:
		f, n := ParseCrypto(b)
		return AppendCrypto(out, f), n
	case NewToken:
		f, n := ParseNewToken(b)
		return AppendNewToken(out, f), n
	case MaxData:
		f, n := ParseMaxData(b)
		return AppendMaxData(out, f), n
	case MaxStreamData:
		f, n := ParseMaxStreamData(b)
		return AppendMaxStreamData(out, f), n
	case MaxStreamsBidi, MaxStreamsUni:
		f, n := ParseMaxStreams(b)
		return AppendMaxStreams(out, f), n
	case DataBlocked:
		f, n := ParseDataBlocked(b)
		return AppendDataBlocked(out, f), n
	case StreamDataBlocked:
		f, n := ParseStreamDataBlocked(b)
		return AppendStreamDataBlocked(out, f), n
	case StreamsBlockedBidi, StreamsBlockedUni:
		f, n := ParseStreamsBlocked(b)
		return AppendStreamsBlocked(out, f), n
	}
	return rewriteConnectionFrame(out, b, typ)
}

func rewriteConnectionFrame(out, b []byte, typ FrameType) (_ []byte, n int) {
	switch typ {
	case NewConnectionID:
		f, n := ParseNewConnectionID(b)
		return AppendNewConnectionID(out, f), n
	case RetireConnectionID:
		f, n := ParseRetireConnectionID(b)
		return AppendRetireConnectionID(out, f), n
	case PathChallenge:
		f, n := ParsePathChallenge(b)
		return AppendPathChallenge(out, f), n
	case PathResponse:
		f, n := ParsePathResponse(b)
		return AppendPathResponse(out, f), n
	case ConnectionClose, ApplicationClose:
		f, n := ParseConnectionClose(b)
		return AppendConnectionClose(out, f), n
	case HandshakeDone:
		_, n := ParseHandshakeDone(b)
		return AppendHandshakeDone(out), n
	case ImmediateAck:
		_, n := ParseImmediateAck(b)
		return AppendImmediateAck(out), n
	case ResetStreamAt:
		f, n := ParseResetStreamAt(b)
		return AppendResetStreamAt(out, f), n
	case AckFrequency:
		f, n := ParseAckFrequency(b)
		return AppendAckFrequency(out, f), n
	}
	if !typ.IsStream() {
		return out, 0
	}
	f, n := ParseStream(b)
	return AppendStream(out, f, b[0]&streamLen != 0), n
}

// ackScratch holds the ranges of rewriteAck, as a connection would.
var ackScratch = make([]PNRange, 0, 1<<16)

func rewriteAck(out, b []byte, typ FrameType) (_ []byte, n int) {
	f, n := ParseAck(b)
	if n == 0 {
		return out, 0
	}
	ranges := ackScratch[:0]
	it := f.Ranges()
	for it.Next() {
		ranges = append(ranges, PNRange{it.Lo, it.Hi})
	}
	return AppendAck(out, typ, ranges, f.DelayRaw, ECNCounts{f.ECT0, f.ECT1, f.CE}, 1<<20), n
}

func TestFramesDoNotAllocate(t *testing.T) {
	payload, frames := samplePayload(t)
	out := make([]byte, 0, 2*len(payload))
	for _, b := range frames {
		typ, _ := NextFrameType(b)
		allocs := testing.AllocsPerRun(100, func() {
			typ, _ := NextFrameType(b)
			if _, n := rewriteFrame(out, b, typ); n != len(b) || !FactsOf(typ).Known() {
				t.Errorf("%v: parsed %d bytes of %d", typ, n, len(b))
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations to parse and append", typ, allocs)
		}
	}
}

func TestHeadersDoNotAllocate(t *testing.T) {
	dst, src := mustConnID(t, "0102030405060708"), mustConnID(t, "1112131415161718")
	out := make([]byte, 0, 2000)
	token := make([]byte, 50)
	versions := []Version{Version1, Version2}
	for name, f := range map[string]func(){
		"long header": func() {
			b := AppendLongHeader(out, Initial, Version2, dst, src, token, 2)
			pnOffset := len(b)
			b = AppendPacketNumber(b, 7, PacketNumberLen(7, 0, false))
			b = AppendPadding(b, 100)
			SetLongLength(b, pnOffset, len(b)-pnOffset)
			if h, err := ParseLongHeader(b); err != nil || h.End != len(b) {
				t.Error(err)
			}
		},
		"short header": func() {
			b := AppendShortHeader(out, dst, true, false, 2)
			b = AppendPacketNumber(b, 7, 2)
			if got, ok := ParseShortHeaderDst(b, 8); !ok || got != dst {
				t.Error("short header is wrong")
			}
			if DecodePacketNumber(6, ParsePacketNumber(b[9:], 2), 2) != 7 {
				t.Error("packet number is wrong")
			}
		},
		"Retry": func() {
			b := AppendPadding(AppendRetry(out, Version1, dst, src, token, 0), RetryTagLen)
			if p, err := ParseRetry(b); err != nil || len(p.Token) != len(token) {
				t.Error(err)
			}
		},
		"Version Negotiation": func() {
			b := AppendVersionNegotiation(out, token, token, 0, versions)
			if p, err := ParseVersionNegotiation(b); err != nil || !p.Contains(Version2) {
				t.Error(err)
			}
		},
		"malformed": func() {
			if _, err := ParseLongHeader(token); err == nil {
				t.Error("no error")
			}
		},
	} {
		if allocs := testing.AllocsPerRun(100, f); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
