package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// FuzzHeaders feeds a datagram to every parser of packet headers and walks its
// coalesced packets. What is parsed can be written again with the same result.
func FuzzHeaders(f *testing.F) {
	for _, s := range sampleHeaders {
		f.Add(append(unhex(f, s.hex), make([]byte, s.length)...))
	}
	f.Add(AppendRetry(nil, Version1, ConnID{}, ConnID{}, make([]byte, 40), 0))
	f.Add(AppendVersionNegotiation(nil, []byte{1, 2}, []byte{3}, 0, []Version{Version1, Version2}))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		// Nothing beyond the datagram may be touched.
		datagram = datagram[:len(datagram):len(datagram)]
		for b := datagram; len(b) > 0; {
			h, err := ParseLongHeader(b)
			if err != nil {
				break
			}
			checkLongHeader(t, b, &h)
			b = b[h.End:]
		}
		checkDatagramHeaders(t, datagram)
	})
}

func checkLongHeader(t *testing.T, b []byte, h *LongHeader) {
	if h.PNOffset <= 0 || h.PNOffset > h.End || h.End > len(b) {
		t.Fatalf("PNOffset %d, End %d in %d bytes", h.PNOffset, h.End, len(b))
	}
	if len(h.DstRaw) <= MaxConnIDLen && !h.DstConnID.EqualBytes(h.DstRaw) ||
		len(h.SrcRaw) <= MaxConnIDLen && !h.SrcConnID.EqualBytes(h.SrcRaw) {
		t.Fatalf("connection IDs differ: %+v", h)
	}
	length := h.End - h.PNOffset
	if h.Type > Handshake || length > MaxLongLength {
		return
	}
	pnLen := int(b[0]&PacketNumberBits) + 1
	out := AppendLongHeader(nil, h.Type, h.Version, h.DstConnID, h.SrcConnID, h.Token, pnLen)
	SetLongLength(out, len(out), length)
	out = append(out, b[h.PNOffset:h.End]...)
	again, err := ParseLongHeader(out)
	if err != nil || again.Type != h.Type || again.DstConnID != h.DstConnID || again.SrcConnID != h.SrcConnID ||
		!bytes.Equal(again.Token, h.Token) || again.End-again.PNOffset != length {
		t.Fatalf("%+v\nwritten again is\n%+v, %v", h, again, err)
	}
}

func checkDatagramHeaders(t *testing.T, b []byte) {
	for n := range 22 {
		if id, ok := ParseShortHeaderDst(b, n); ok && !id.EqualBytes(b[1:1+n]) {
			t.Fatalf("connection ID %v in %x", id, b)
		}
	}
	if p, err := ParseVersionNegotiation(b); err == nil {
		var versions []Version
		for i := range p.Len() {
			versions = append(versions, p.Version(i))
		}
		out := AppendVersionNegotiation(nil, p.DstRaw, p.SrcRaw, b[0], versions)
		if !bytes.Equal(out[1:], b[1:]) {
			t.Fatalf("Version Negotiation %x written again is %x", b, out)
		}
	}
	if p, err := ParseRetry(b); err == nil {
		out := AppendRetry(nil, p.Version, p.DstConnID, p.SrcConnID, p.Token, b[0])
		if !bytes.Equal(out[1:], p.WithoutTag[1:]) || !bytes.Equal(append(p.WithoutTag, p.Tag[:]...), b) {
			t.Fatalf("Retry %x written again is %x", b, out)
		}
	}
	if token, ok := ParseStatelessReset(b); ok && !bytes.HasSuffix(b, token[:]) {
		t.Fatalf("token %x in %x", token, b)
	}
}

// FuzzFrames walks a payload frame by frame. A frame written again is no longer
// than it was, and stays the same from then on.
func FuzzFrames(f *testing.F) {
	payload, frames := samplePayload(f)
	f.Add(payload)
	for _, b := range frames {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for b := payload[:len(payload):len(payload)]; len(b) > 0; {
			typ, n := NextFrameType(b)
			if n == 0 {
				return
			}
			if n > len(b) || n != VarintLen(uint64(typ)) || typ.String() == "" {
				t.Fatalf("type %v of %d bytes in %x", typ, n, b)
			}
			once, n := rewriteFrame(nil, b, typ)
			if n == 0 {
				return
			}
			if !FactsOf(typ).Known() || n > len(b) || len(once) > n {
				t.Fatalf("%v: %d bytes of %x written again as %x", typ, n, b, once)
			}
			// Flags that change nothing, as a zero Offset, are not written.
			again, m := NextFrameType(once)
			if m == 0 || again != typ && !(again.IsStream() && typ.IsStream()) {
				t.Fatalf("%v became %v", typ, again)
			}
			twice, m := rewriteFrame(nil, once, again)
			if m != len(once) || !bytes.Equal(once, twice) {
				t.Fatalf("%v: %x\nparsed %d bytes of\n%x\nand wrote\n%x", typ, b[:n], m, once, twice)
			}
			b = b[n:]
		}
	})
}

// FuzzTransportParameters checks that whatever is accepted can be written and
// read again.
func FuzzTransportParameters(f *testing.F) {
	r := newRand(11)
	for range 4 {
		for _, fromServer := range []bool{false, true} {
			tp := randParameters(r, fromServer)
			f.Add(tp.Append(nil, fromServer), fromServer)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, fromServer bool) {
		tp, err := ParseTransportParameters(b[:len(b):len(b)], fromServer)
		if err != nil {
			var e *TransportParameterError
			if !errors.As(err, &e) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again, err := ParseTransportParameters(tp.Append(nil, fromServer), fromServer)
		if err != nil || !reflect.DeepEqual(again, tp) {
			t.Fatalf("%+v\nreads back as\n%+v, %v", tp, again, err)
		}
		m := tp.Remembered()
		if !tp.Covers(&m) {
			t.Fatalf("%+v does not cover itself", tp)
		}
	})
}
