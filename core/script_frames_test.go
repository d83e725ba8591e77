package core

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

func appendScriptFrame(t testing.TB, b []byte, f any) []byte {
	t.Helper()
	switch f := f.(type) {
	case []byte:
		return append(b, f...)
	case wire.PaddingFrame:
		return wire.AppendPadding(b, max(f.Length, 1))
	case wire.PingFrame:
		return wire.AppendPing(b)
	case ackFrame:
		typ := wire.Ack
		if f.ECN {
			typ = wire.AckECN
		}
		return wire.AppendAck(b, typ, f.Ranges, f.Delay, f.Counts, 1<<16)
	case wire.ResetStreamFrame:
		return wire.AppendResetStream(b, f)
	case wire.StopSendingFrame:
		return wire.AppendStopSending(b, f)
	case wire.CryptoFrame:
		return wire.AppendCrypto(b, f)
	case wire.NewTokenFrame:
		return wire.AppendNewToken(b, f)
	case wire.StreamFrame:
		return wire.AppendStream(b, f, true)
	case wire.MaxDataFrame:
		return wire.AppendMaxData(b, f)
	case wire.MaxStreamDataFrame:
		return wire.AppendMaxStreamData(b, f)
	case wire.MaxStreamsFrame:
		return wire.AppendMaxStreams(b, f)
	case wire.DataBlockedFrame:
		return wire.AppendDataBlocked(b, f)
	case wire.StreamDataBlockedFrame:
		return wire.AppendStreamDataBlocked(b, f)
	case wire.StreamsBlockedFrame:
		return wire.AppendStreamsBlocked(b, f)
	case wire.NewConnectionIDFrame:
		return wire.AppendNewConnectionID(b, f)
	case wire.RetireConnectionIDFrame:
		return wire.AppendRetireConnectionID(b, f)
	case wire.PathChallengeFrame:
		return wire.AppendPathChallenge(b, f)
	case wire.PathResponseFrame:
		return wire.AppendPathResponse(b, f)
	case wire.ConnectionCloseFrame:
		return wire.AppendConnectionClose(b, f)
	case wire.HandshakeDoneFrame:
		return wire.AppendHandshakeDone(b)
	case wire.ImmediateAckFrame:
		return wire.AppendImmediateAck(b)
	case wire.ResetStreamAtFrame:
		return wire.AppendResetStreamAt(b, f)
	case wire.AckFrequencyFrame:
		return wire.AppendAckFrequency(b, f)
	}
	t.Fatalf("cannot write a %T", f)
	return nil
}

func parsed[F any](f F, n int) (any, int) { return f, n }

// parseScriptFrame parses the frame at the start of b; the result aliases
// nothing.
func parseScriptFrame(b []byte) (any, int) {
	t, n := wire.NextFrameType(b)
	if n == 0 {
		return nil, 0
	}
	if t.IsStream() {
		f, n := wire.ParseStream(b)
		f.Data = bytes.Clone(f.Data)
		return f, n
	}
	switch t {
	case wire.Padding:
		return parsed(wire.ParsePadding(b))
	case wire.Ping:
		return parsed(wire.ParsePing(b))
	case wire.Ack, wire.AckECN:
		f, n := wire.ParseAck(b)
		a := ackFrame{Delay: f.DelayRaw, ECN: f.ECN, Counts: wire.ECNCounts{ECT0: f.ECT0, ECT1: f.ECT1, CE: f.CE}}
		for it := f.Ranges(); n > 0 && it.Next(); {
			a.Ranges = append(a.Ranges, wire.PNRange{Lo: it.Lo, Hi: it.Hi})
		}
		return a, n
	case wire.ResetStream:
		return parsed(wire.ParseResetStream(b))
	case wire.StopSending:
		return parsed(wire.ParseStopSending(b))
	case wire.Crypto:
		f, n := wire.ParseCrypto(b)
		f.Data = bytes.Clone(f.Data)
		return f, n
	case wire.NewToken:
		f, n := wire.ParseNewToken(b)
		f.Token = bytes.Clone(f.Token)
		return f, n
	case wire.MaxData:
		return parsed(wire.ParseMaxData(b))
	case wire.MaxStreamData:
		return parsed(wire.ParseMaxStreamData(b))
	case wire.MaxStreamsBidi, wire.MaxStreamsUni:
		return parsed(wire.ParseMaxStreams(b))
	case wire.DataBlocked:
		return parsed(wire.ParseDataBlocked(b))
	case wire.StreamDataBlocked:
		return parsed(wire.ParseStreamDataBlocked(b))
	case wire.StreamsBlockedBidi, wire.StreamsBlockedUni:
		return parsed(wire.ParseStreamsBlocked(b))
	case wire.NewConnectionID:
		return parsed(wire.ParseNewConnectionID(b))
	case wire.RetireConnectionID:
		return parsed(wire.ParseRetireConnectionID(b))
	case wire.PathChallenge:
		return parsed(wire.ParsePathChallenge(b))
	case wire.PathResponse:
		return parsed(wire.ParsePathResponse(b))
	case wire.ConnectionClose, wire.ApplicationClose:
		f, n := wire.ParseConnectionClose(b)
		f.Reason = bytes.Clone(f.Reason)
		return f, n
	case wire.HandshakeDone:
		return parsed(wire.ParseHandshakeDone(b))
	case wire.ImmediateAck:
		return parsed(wire.ParseImmediateAck(b))
	case wire.ResetStreamAt:
		return parsed(wire.ParseResetStreamAt(b))
	case wire.AckFrequency:
		return parsed(wire.ParseAckFrequency(b))
	}
	return nil, 0
}

// scriptFrameType returns the type of a frame as parsed; ACK_ECN counts as
// ACK.
func scriptFrameType(f any) wire.FrameType {
	switch f := f.(type) {
	case wire.PaddingFrame:
		return wire.Padding
	case ackFrame:
		return wire.Ack
	case wire.LongHeader, statelessReset:
		return wire.NoFrameType
	case wire.StreamFrame:
		return wire.Stream
	case wire.MaxStreamsFrame:
		if f.Uni {
			return wire.MaxStreamsUni
		}
		return wire.MaxStreamsBidi
	case wire.ConnectionCloseFrame:
		if f.Application {
			return wire.ApplicationClose
		}
		return wire.ConnectionClose
	case wire.PingFrame:
		return wire.Ping
	case wire.CryptoFrame:
		return wire.Crypto
	case wire.NewTokenFrame:
		return wire.NewToken
	case wire.NewConnectionIDFrame:
		return wire.NewConnectionID
	case wire.HandshakeDoneFrame:
		return wire.HandshakeDone
	}
	return wire.NoFrameType
}

// varints encodes integers one after another, for malformed frames.
func varints(v ...uint64) []byte {
	var b []byte
	for _, x := range v {
		b = wire.AppendVarint(b, x)
	}
	return b
}

// connIDOf makes a connection ID from text.
func connIDOf(s string) wire.ConnID {
	id, ok := wire.MakeConnID([]byte(s))
	if !ok {
		panic("connection ID too long")
	}
	return id
}

// newConnIDs makes NEW_CONNECTION_ID frames with sequence numbers from seq on.
func newConnIDs(seq uint64, n int) []any {
	var f []any
	for i := range uint64(n) {
		f = append(f, newConnID(seq+i, 0))
	}
	return f
}

func newConnID(seq, retirePriorTo uint64) wire.NewConnectionIDFrame {
	f := wire.NewConnectionIDFrame{Sequence: seq, RetirePriorTo: retirePriorTo}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], 0xc1d0_0000_0000_0000+seq)
	f.ConnID, _ = wire.MakeConnID(b[:])
	binary.BigEndian.PutUint64(f.ResetToken[:], 0x70ce_0000_0000_0000+seq)
	return f
}
