package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// A frameTest holds what is to be true of one frame's Parse, Append and Len.
type frameTest[F any] struct {
	parse  func([]byte) (F, int)
	append func([]byte, F) []byte
	length func(F) int
	good   []goodFrame[F]
	bad    []badFrame
	// greedy frames take all that follows, so that neither a prefix nor more
	// bytes make them malformed.
	greedy bool
}

type goodFrame[F any] struct {
	hex string
	f   F
}

type badFrame struct{ why, hex string }

func (ft *frameTest[F]) run(t *testing.T) {
	t.Helper()
	for _, g := range ft.good {
		ft.runGood(t, unhex(t, g.hex), g.f)
	}
	for _, b := range ft.bad {
		// The capacity ends with the frame, so that reading beyond it panics.
		in := unhex(t, b.hex)
		if f, n := ft.parse(in[:len(in):len(in)]); n != 0 {
			t.Errorf("%s (%x): parsed %d bytes as %+v", b.why, in, n, f)
		}
	}
}

func (ft *frameTest[F]) runGood(t *testing.T, in []byte, want F) {
	t.Helper()
	f, n := ft.parse(in)
	if n != len(in) || !reflect.DeepEqual(f, want) {
		t.Errorf("%x: parsed %d bytes as %+v, want %d as %+v", in, n, f, len(in), want)
	}
	out := ft.append([]byte{0xee}, want)
	if !bytes.Equal(out[1:], in) {
		t.Errorf("%+v: wrote %x, want %x", want, out[1:], in)
	}
	if got := ft.length(want); got != len(in) {
		t.Errorf("%+v: Len = %d, want %d", want, got, len(in))
	}
	if typ, m := NextFrameType(in); m == 0 || typ.String() == "" || !FactsOf(typ).Known() {
		t.Errorf("%x: type %v of %d bytes", in, typ, m)
	}
	for typ := range byte(0xff) {
		other := append([]byte{typ}, in[1:]...)
		if _, n := ft.parse(other); n != 0 && !sameFrame(FrameType(typ), FrameType(in[0])) {
			t.Errorf("%x: parsed though the type is another", other)
		}
	}
	if ft.greedy {
		return
	}
	for cut := range in {
		if f, n := ft.parse(in[:cut:cut]); n != 0 {
			t.Errorf("prefix %x of %x: parsed %d bytes as %+v", in[:cut], in, n, f)
		}
	}
	if f, n := ft.parse(append(bytes.Clone(in), 0xff, 0xff)); n != len(in) || !reflect.DeepEqual(f, want) {
		t.Errorf("%x and more: parsed %d bytes as %+v", in, n, f)
	}
}

// sameFrame reports whether a and b, first bytes of frames, are types of one
// frame.
func sameFrame(a, b FrameType) bool {
	switch a &^ 1 {
	case Ack, MaxStreamsBidi, StreamsBlockedBidi, ConnectionClose:
		return a&^1 == b&^1
	}
	return a == b || a.IsStream() && b.IsStream()
}

func TestNextFrameType(t *testing.T) {
	for _, tt := range []struct {
		hex string
		typ FrameType
		n   int
	}{
		{"", NoFrameType, 0},
		{"00", Padding, 1},
		{"1f", ImmediateAck, 1},
		{"3fff", 0x3f, 1},
		{"40af00", AckFrequency, 2},
		{"7fff", 0x3fff, 2},
		{"40", NoFrameType, 0},
		{"800000", NoFrameType, 0},
		{"b1515000", 0x31515000, 4},
		{"c000000040000000", 0x40000000, 8},
		{"ffffffffffffffff", MaxVarint, 8},
		// Longer than necessary.
		{"4001", Ping, 0},
		{"403f", 0x3f, 0},
		{"80000001", Ping, 0},
		{"800000af", AckFrequency, 0},
		{"c000000000000001", Ping, 0},
		{"c00000003fffffff", 0x3fffffff, 0},
	} {
		if typ, n := NextFrameType(unhex(t, tt.hex)); typ != tt.typ || n != tt.n {
			t.Errorf("NextFrameType(%s) = %v, %d; want %v, %d", tt.hex, typ, n, tt.typ, tt.n)
		}
	}
}

func TestFrameTypeString(t *testing.T) {
	for typ, want := range map[FrameType]string{
		Padding: "PADDING", AckECN: "ACK_ECN", Stream: "STREAM", StreamMax: "STREAM", HandshakeDone: "HANDSHAKE_DONE",
		ImmediateAck: "IMMEDIATE_ACK", ResetStreamAt: "RESET_STREAM_AT", AckFrequency: "ACK_FREQUENCY",
		0x20: "0x20", 0x31515000: "0x31515000", 0x108: "0x108",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint64(typ), got, want)
		}
	}
}

// The frame types of RFC 9000, in the RFC's notation, and those of extensions.
// https://www.rfc-editor.org/rfc/rfc9000#table-3
const factTable = `
00-00 PADDING              IH01 NP
01-01 PING                 IH01 -
02-03 ACK                  IH_1 NC
04-04 RESET_STREAM         __01 -
05-05 STOP_SENDING         __01 -
06-06 CRYPTO               IH_1 -
07-07 NEW_TOKEN            ___1 S
08-0f STREAM               __01 F
10-10 MAX_DATA             __01 -
11-11 MAX_STREAM_DATA      __01 -
12-13 MAX_STREAMS          __01 -
14-14 DATA_BLOCKED         __01 -
15-15 STREAM_DATA_BLOCKED  __01 -
16-17 STREAMS_BLOCKED      __01 -
18-18 NEW_CONNECTION_ID    __01 P
19-19 RETIRE_CONNECTION_ID __01 -
1a-1a PATH_CHALLENGE       __01 P
1b-1b PATH_RESPONSE        ___1 P
1c-1c CONNECTION_CLOSE     IH01 NC
1d-1d APPLICATION_CLOSE    __01 NC
1e-1e HANDSHAKE_DONE       ___1 S
1f-1f IMMEDIATE_ACK        ___1 -
24-24 RESET_STREAM_AT      __01 -
af-af ACK_FREQUENCY        ___1 -`

func TestFacts(t *testing.T) {
	known := make(map[FrameType]bool)
	for line := range strings.Lines(strings.TrimSpace(factTable)) {
		col := strings.Fields(line)
		types := unhex(t, strings.Replace(col[0], "-", "", 1))
		want := Facts{
			AckEliciting:         !strings.Contains(col[3], "N"),
			CongestionControlled: !strings.Contains(col[3], "C"),
			Probing:              strings.Contains(col[3], "P"),
			FlowControlled:       strings.Contains(col[3], "F"),
			ServerOnly:           strings.Contains(col[3], "S"), // S: not in the RFC's table but in sections 19.7 and 19.20
		}
		for i, typ := range []PacketType{Initial, Handshake, ZeroRTT, OneRTT} {
			if col[2][i] != '_' {
				want.Packets |= 1 << typ
			}
		}
		for typ := FrameType(types[0]); typ <= FrameType(types[1]); typ++ {
			known[typ] = true
			if got := FactsOf(typ); got != want {
				t.Errorf("FactsOf(%v) = %+v, want %+v", typ, got, want)
			}
			if !strings.HasPrefix(typ.String(), col[1]) {
				t.Errorf("%#x is named %v, want %s", uint64(typ), typ, col[1])
			}
			if FactsOf(typ).Packets.Has(Retry) || FactsOf(typ).Packets.Has(VersionNegotiation) {
				t.Errorf("%v may appear where there are no frames", typ)
			}
		}
	}
	for typ := range FrameType(0x200) {
		if FactsOf(typ).Known() != known[typ] {
			t.Errorf("FactsOf(%v).Known() = %v", typ, FactsOf(typ).Known())
		}
	}
	if FactsOf(NoFrameType).Known() || FactsOf(0x31515000).Known() {
		t.Error("knows frame types it should not")
	}
}
