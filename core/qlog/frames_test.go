package qlog

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// logged returns the data of the event that log wrote, as JSON text.
func logged(t testing.TB, d Dialect, log func(*Trace)) string {
	t.Helper()
	var out bytes.Buffer
	trace := New(&out, Info{Start: start, Dialect: d})
	out.Reset()
	log(trace)
	records(t, out.Bytes())
	_, data, _ := strings.Cut(out.String(), `"data":`)
	return strings.TrimSuffix(data, "}\n")
}

// framesOf returns what is logged of a 1-RTT packet's payload.
func framesOf(t testing.TB, payload []byte, register ...func(*Trace)) string {
	t.Helper()
	data := logged(t, Drafts, func(trace *Trace) {
		for _, r := range register {
			r(trace)
		}
		trace.PacketReceived(start, wire.OneRTT, 0, 0, 0, payload)
	})
	_, frames, _ := strings.Cut(data, `"frames":`)
	return strings.TrimSuffix(frames, "}")
}

func TestFrames(t *testing.T) {
	plugin := func(name string, n int) func(*Trace) {
		return func(trace *Trace) { trace.RegisterFrame(0x42, name, func([]byte) int { return n }) }
	}
	for _, test := range []struct {
		why, payload, want string
		register           func(*Trace)
	}{
		{why: "no frame", payload: "", want: `[]`},
		{why: "runs of PADDING are one frame", payload: "\x00\x00\x00\x01", want: `[{"frame_type":"padding","raw":{"length":3,"payload_length":3}},{"frame_type":"ping"}]`},
		{why: "a STREAM frame without Length ends with the packet", payload: "\x0d\x04\x05abc",
			want: `[{"frame_type":"stream","stream_id":4,"offset":5,"fin":true,"raw":{"length":3,"payload_length":3}}]`},
		{why: "truncated frame", payload: "\x01\x06\x00\x05abc", want: `[{"frame_type":"ping"},{"frame_type":"unknown","frame_type_bytes":6,"raw":{"length":6}}]`},
		{why: "truncated frame type", payload: "\x80\x01", want: `[{"frame_type":"unknown","frame_type_bytes":128,"raw":{"length":2}}]`},
		{why: "frame type longer than needed", payload: "\x40\x01", want: `[{"frame_type":"unknown","frame_type_bytes":1,"raw":{"length":2}}]`},
		{why: "largest frame type", payload: "\xff\xff\xff\xff\xff\xff\xff\xff\x01", want: `[{"frame_type":"unknown","frame_type_bytes":"4611686018427387903","raw":{"length":9}}]`},
		{why: "unknown type", payload: "\x40\x42\x01", want: `[{"frame_type":"unknown","frame_type_bytes":66,"raw":{"length":3}}]`},
		{why: "registered type", payload: "\x40\x42\x09\x01", register: plugin(`a"b`, 3), want: `[{"frame_type":"a\"b","raw":{"length":3}},{"frame_type":"ping"}]`},
		{why: "decoder finds it malformed", payload: "\x40\x42\x01", register: plugin("x", 0), want: `[{"frame_type":"unknown","frame_type_bytes":66,"raw":{"length":3}}]`},
		{why: "decoder exceeds the packet", payload: "\x40\x42\x01", register: plugin("x", 4), want: `[{"frame_type":"unknown","frame_type_bytes":66,"raw":{"length":3}}]`},
		{why: "decoder goes backwards", payload: "\x40\x42\x01", register: plugin("x", -1), want: `[{"frame_type":"unknown","frame_type_bytes":66,"raw":{"length":3}}]`},
		{why: "native types stay native", payload: "\x01\x01", want: `[{"frame_type":"ping"},{"frame_type":"ping"}]`,
			register: func(trace *Trace) { trace.RegisterFrame(wire.Ping, "x", func(b []byte) int { return len(b) }) }},
		{why: "a decoder can be removed", payload: "\x40\x42", want: `[{"frame_type":"unknown","frame_type_bytes":66,"raw":{"length":2}}]`,
			register: func(trace *Trace) {
				plugin("x", 2)(trace)
				trace.RegisterFrame(0x42, "", nil)
			}},
		{why: "DATAGRAM", payload: "\x31\x02ab\x30cd", want: `[{"frame_type":"datagram","raw":{"length":2,"payload_length":2}},{"frame_type":"datagram","raw":{"length":2,"payload_length":2}}]`},
		{why: "DATAGRAM as a plugin's", payload: "\x30ab", want: `[{"frame_type":"dgram","raw":{"length":3}}]`,
			register: func(trace *Trace) { trace.RegisterFrame(0x30, "dgram", func(b []byte) int { return len(b) }) }},
		{why: "DATAGRAM longer than the packet", payload: "\x31\x03ab", want: `[{"frame_type":"unknown","frame_type_bytes":49,"raw":{"length":4}}]`},
	} {
		register := []func(*Trace){}
		if test.register != nil {
			register = append(register, test.register)
		}
		if got := framesOf(t, []byte(test.payload), register...); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.why, got, test.want)
		}
	}
}

// TestBoundedFrames: what a peer sends does not make a record arbitrarily long.
func TestBoundedFrames(t *testing.T) {
	got := framesOf(t, bytes.Repeat([]byte{1}, 60_000))
	if n := strings.Count(got, "ping"); n != maxFrames {
		t.Errorf("%d frames logged", n)
	}
	if want := fmt.Sprintf(`,"omitted_length":%d`, 60_000-maxFrames); !strings.HasSuffix(got, want) {
		t.Errorf("no %s in ...%s", want, got[len(got)-50:])
	}

	ranges := make([]wire.PNRange, 1000)
	for i := range ranges {
		pn := uint64(10_000 - 2*i)
		ranges[i] = wire.PNRange{Lo: pn, Hi: pn}
	}
	got = framesOf(t, wire.AppendAck(nil, wire.Ack, ranges, 0, wire.ECNCounts{}, 60_000))
	if n := strings.Count(got, "[") - 2; n != maxRanges {
		t.Errorf("%d ranges logged", n)
	}
	if want := fmt.Sprintf(`"ranges_omitted":%d`, 1000-maxRanges); !strings.Contains(got, want) {
		t.Errorf("no %s in ...%s", want, got[len(got)-50:])
	}

	reason := bytes.Repeat([]byte{'\n'}, 60_000)
	got = framesOf(t, wire.AppendConnectionClose(nil, wire.ConnectionCloseFrame{Reason: reason}))
	if len(got) > 6*maxText+200 {
		t.Errorf("%d bytes about a reason phrase", len(got))
	}
}

// TestBigRecordsAreNotKept: one long packet does not hold memory for ever.
func TestBigRecordsAreNotKept(t *testing.T) {
	var out bytes.Buffer
	trace := New(&out, Info{})
	hostile := wire.AppendConnectionClose(nil, wire.ConnectionCloseFrame{Reason: bytes.Repeat([]byte{1}, maxText)})
	trace.PacketReceived(start, wire.OneRTT, 0, 0, 0, bytes.Repeat(hostile, 100))
	if n := cap(trace.enc.b); n > maxKeptBuffer {
		t.Errorf("a buffer of %d bytes is kept", n)
	}
}

// TestAckDelay: each side's ACK frames are scaled by that side's exponent, and
// those before 1-RTT by the default.
func TestAckDelay(t *testing.T) {
	ack := wire.AppendAck(nil, wire.Ack, []wire.PNRange{{}}, 1000, wire.ECNCounts{}, 100)
	tp := wire.DefaultTransportParameters()
	for _, test := range []struct {
		sent     bool
		typ      wire.PacketType
		exponent uint64
		want     string
	}{
		{true, wire.OneRTT, 10, "1024"},
		{false, wire.OneRTT, 0, "1"},
		{true, wire.Handshake, 10, "8"},
		{false, wire.Initial, 0, "8"},
	} {
		got := logged(t, Drafts, func(trace *Trace) {
			tp.AckDelayExponent = test.exponent
			trace.ParametersSet(start, test.sent, &tp)
			if test.sent {
				trace.PacketSent(start, test.typ, 0, 0, 0, ack)
			} else {
				trace.PacketReceived(start, test.typ, 0, 0, 0, ack)
			}
		})
		if want := `"ack_delay":` + test.want + `,`; !strings.Contains(got, want) {
			t.Errorf("%+v: %s", test, got)
		}
	}
	if d := ackDelay(wire.MaxVarint, wire.MaxAckDelayExponent); d != math.MaxInt64 {
		t.Errorf("the largest ACK delay is %v", d)
	}
	if d := ackDelay(3, 2); d != 12*time.Microsecond {
		t.Errorf("ACK delay %v", d)
	}
}

func TestTransportErrors(t *testing.T) {
	for code, want := range map[uint64]string{
		0:       `"connection_error":"no_error","trigger":"unspecified"`,
		0x10:    `"connection_error":"no_viable_path","trigger":"error"`,
		0x11:    `"connection_error":"unknown","error_code":17,"trigger":"error"`,
		0xff:    `"connection_error":"unknown","error_code":255,"trigger":"error"`,
		0x100:   `"connection_error":"crypto_error_0x100","trigger":"error"`,
		0x1ff:   `"connection_error":"crypto_error_0x1ff","trigger":"error"`,
		0x200:   `"connection_error":"unknown","error_code":512,"trigger":"error"`,
		1 << 61: `"connection_error":"unknown","error_code":"` + strconv.FormatUint(1<<61, 10) + `","trigger":"error"`,
	} {
		got := logged(t, Drafts, func(trace *Trace) { trace.ConnectionClosed(start, true, false, code, "") })
		if want = `{"initiator":"local",` + want + `}`; got != want {
			t.Errorf("error %#x:\n got %s\nwant %s", code, got, want)
		}
	}
}

// FuzzPacket: whatever a packet holds, its record is valid JSON that follows the
// schema, in both dialects, and of bounded length.
func FuzzPacket(f *testing.F) {
	s := loadSchema(f)
	types := []wire.PacketType{wire.OneRTT, wire.Initial, wire.ZeroRTT, wire.Handshake, wire.Retry, wire.VersionNegotiation, wire.UnknownVersion}
	f.Add(uint8(0), uint64(1), uint8(1), everyFrame(f))
	f.Fuzz(func(t *testing.T, typ uint8, pn uint64, ecn uint8, payload []byte) {
		if len(payload) > 1<<16 {
			return
		}
		for dialect := range Qvis + 1 {
			var out bytes.Buffer
			trace := New(&out, Info{Start: start, Dialect: dialect})
			trace.RegisterFrame(0x42, "plugin", func(b []byte) int { return min(len(b), int(pn%8)) - 1 })
			out.Reset()
			trace.PacketReceived(start, types[int(typ)%len(types)], pn, len(payload), ecn, payload)
			trace.PacketSent(start, types[int(typ)%len(types)], pn, len(payload), ecn, payload)
			for _, r := range records(t, out.Bytes()) {
				if dialect != Drafts {
					continue
				}
				if err := s.validate(s.defs["event"], r, "event"); err != nil {
					t.Fatalf("%v\n%s", err, out.Bytes())
				}
			}
			// 256 frames with some text each, and what the payload can be blown up to.
			if limit := 2 * (maxFrames*200 + 16*len(payload) + 500); out.Len() > limit {
				t.Errorf("%d bytes logged of %d", out.Len(), len(payload))
			}
		}
	})
}

// FuzzString: any text is escaped so that it reads back as it was, but for
// invalid UTF-8.
func FuzzString(f *testing.F) {
	f.Add("plain", []byte{1})
	f.Add("\x00\x1e\x1f\"\\/\x7f\u2028\xed\xa0\x80\xf4\x90", []byte{0xff})
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		for _, text := range []string{string(appendString(nil, s)), string(appendString(nil, []byte(s)))} {
			got, err := decodeJSON([]byte(text))
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if want := strings.ToValidUTF8(s, "\ufffd"); strings.ToValidUTF8(s, "") == s && got != want {
				t.Errorf("%q reads back as %q", s, got)
			}
		}
		var out bytes.Buffer
		trace := New(&out, Info{Title: s, Name: s, Schemas: []string{s}})
		trace.Generic(start, s, s, s, s, s, b, string(b), []any{s, map[string]any{s: s, strings.ToUpper(s): b}})
		trace.Plugin(start, s, s, map[string]any{s: s, string(b): b})
		trace.ConnectionClosed(start, true, true, 0, s)
		trace.ALPNInformation(start, s)
		trace.TupleAssigned(start, s, trace0, trace0)
		records(t, out.Bytes())
	})
}

// TestCorpus keeps the committed corpus small.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/fuzz/*/*")
	if err != nil || len(files) == 0 || len(files) > 40 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 8<<10 {
			t.Errorf("%s: %v, error %v", name, info.Size(), err)
		}
	}
}
