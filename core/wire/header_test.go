package wire

import (
	"bytes"
	"errors"
	"testing"
)

// Headers of the sample packets, unprotected.
// https://www.rfc-editor.org/rfc/rfc9001#appendix-A
// https://www.rfc-editor.org/rfc/rfc9369#appendix-A
var sampleHeaders = []struct {
	name     string
	hex      string
	typ      PacketType
	version  Version
	dst, src string
	pn       uint64
	pnLen    int
	length   int
}{
	{"v1 client Initial", "c300000001088394c8f03e5157080000449e00000002", Initial, Version1, "8394c8f03e515708", "", 2, 4, 1182},
	{"v1 server Initial", "c1000000010008f067a5502a4262b50040750001", Initial, Version1, "", "f067a5502a4262b5", 1, 2, 117},
	{"v2 client Initial", "d36b3343cf088394c8f03e5157080000449e00000002", Initial, Version2, "8394c8f03e515708", "", 2, 4, 1182},
	{"v2 server Initial", "d16b3343cf0008f067a5502a4262b50040750001", Initial, Version2, "", "f067a5502a4262b5", 1, 2, 117},
}

func TestSampleLongHeaders(t *testing.T) {
	for _, tt := range sampleHeaders {
		t.Run(tt.name, func(t *testing.T) {
			header := unhex(t, tt.hex)
			pnOffset := len(header) - tt.pnLen
			dst, src := mustConnID(t, tt.dst), mustConnID(t, tt.src)

			b := AppendLongHeader(nil, tt.typ, tt.version, dst, src, nil, tt.pnLen)
			if len(b) != LongHeaderLen(tt.typ, dst, src, 0) {
				t.Errorf("LongHeaderLen = %d, header has %d", LongHeaderLen(tt.typ, dst, src, 0), len(b))
			}
			SetLongLength(b, len(b), tt.length)
			b = AppendPacketNumber(b, tt.pn, tt.pnLen)
			if !bytes.Equal(b, header) {
				t.Errorf("wrote %x, the sample is %x", b, header)
			}

			const behind = 9 // bytes of a coalesced packet
			datagram := append(header, make([]byte, tt.length-tt.pnLen+behind)...)
			h, err := ParseLongHeader(datagram)
			if err != nil {
				t.Fatal(err)
			}
			if h.Type != tt.typ || h.Version != tt.version || !h.FixedBit || h.DstConnID != dst || h.SrcConnID != src ||
				!dst.EqualBytes(h.DstRaw) || !src.EqualBytes(h.SrcRaw) || len(h.Token) != 0 {
				t.Errorf("parsed %+v", h)
			}
			if h.PNOffset != pnOffset || h.End != len(datagram)-behind {
				t.Errorf("PNOffset %d, End %d; want %d, %d", h.PNOffset, h.End, pnOffset, len(datagram)-behind)
			}
			if got := ParsePacketNumber(datagram[h.PNOffset:], tt.pnLen); got != tt.pn {
				t.Errorf("packet number %d, want %d", got, tt.pn)
			}
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc9001#appendix-A.5
func TestSampleShortHeader(t *testing.T) {
	want := unhex(t, "4200bff4")
	b := AppendPacketNumber(AppendShortHeader(nil, ConnID{}, false, false, 3), 654360564, 3)
	if !bytes.Equal(b, want) {
		t.Errorf("wrote %x, the sample is %x", b, want)
	}
}

func TestShortHeader(t *testing.T) {
	dst := mustConnID(t, "0102030405")
	for _, tt := range []struct {
		spin, phase bool
		pnLen       int
		first       byte
	}{
		{false, false, 1, 0x40}, {true, false, 2, 0x61}, {false, true, 3, 0x46}, {true, true, 4, 0x67},
	} {
		b := AppendShortHeader([]byte{0xaa}, dst, tt.spin, tt.phase, tt.pnLen)[1:]
		if b[0] != tt.first || !dst.EqualBytes(b[1:]) || IsLongHeader(b[0]) {
			t.Errorf("%+v: %x", tt, b)
		}
		if got, ok := ParseShortHeaderDst(append(b, 7), 5); !ok || got != dst {
			t.Errorf("ParseShortHeaderDst(%x) = %v, %v", b, got, ok)
		}
		if _, ok := ParseShortHeaderDst(b, 6); ok {
			t.Error("read a connection ID beyond the end")
		}
	}
	if _, ok := ParseShortHeaderDst([]byte{0x40}, 0); !ok {
		t.Error("refused a zero-length connection ID")
	}
	for _, bad := range [][]byte{nil, {0xc0, 1, 2}, make([]byte, 40)} {
		if _, ok := ParseShortHeaderDst(bad, 21); ok {
			t.Errorf("took %x with 21 bytes", bad)
		}
		if _, ok := ParseShortHeaderDst(bad, -1); ok {
			t.Errorf("took %x with -1 bytes", bad)
		}
	}
	if _, ok := ParseShortHeaderDst([]byte{0xc0, 1, 2}, 2); ok {
		t.Error("took a long header")
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#section-17.2 and
// https://www.rfc-editor.org/rfc/rfc9369#section-3.2
func TestLongPacketTypes(t *testing.T) {
	for _, tt := range []struct {
		v    Version
		typ  PacketType
		bits byte
	}{
		{Version1, Initial, 0}, {Version1, ZeroRTT, 1}, {Version1, Handshake, 2}, {Version1, Retry, 3},
		{Version2, Initial, 1}, {Version2, ZeroRTT, 2}, {Version2, Handshake, 3}, {Version2, Retry, 0},
	} {
		if got := typeBits(tt.typ, tt.v); got != tt.bits {
			t.Errorf("typeBits(%v, %v) = %d, want %d", tt.typ, tt.v, got, tt.bits)
		}
		if got := typeOfBits(0xc|tt.bits, tt.v); got != tt.typ {
			t.Errorf("typeOfBits(%d, %v) = %v, want %v", tt.bits, tt.v, got, tt.typ)
		}
	}
	names := "Initial 0-RTT Handshake Retry 1-RTT Version Negotiation unknown version invalid packet type"
	got := ""
	for typ := Initial; typ <= UnknownVersion+1; typ++ {
		got += " " + typ.String()
	}
	if got[1:] != names {
		t.Errorf("names are %q", got[1:])
	}
}

func TestParseLongHeaderMalformed(t *testing.T) {
	const ids = "02aabb 01cc" // 5 bytes
	for _, tt := range []struct {
		name, hex string
		want      error
	}{
		{"empty", "", ErrTruncated},
		{"short header", "40 00000001 00 00 00 00", ErrNotLongHeader},
		{"first byte only", "c0", ErrTruncated},
		{"ends in the version", "c0 000000", ErrTruncated},
		{"no connection IDs", "c0 00000001", ErrTruncated},
		{"no source connection ID", "c0 00000001 00", ErrTruncated},
		{"destination ends early", "c0 00000001 03 aabb", ErrTruncated},
		{"destination fills the packet", "c0 00000001 02 aabb", ErrTruncated},
		{"source ends early", "c0 00000001 00 02 aa", ErrTruncated},
		{"destination of 21 bytes", "c0 00000001 15 000000000000000000000000000000000000000000 00 00 01 00", ErrConnIDLength},
		{"source of 21 bytes", "c0 6b3343cf 00 15 000000000000000000000000000000000000000000 00 01 00", ErrConnIDLength},
		{"no token length", "c0 00000001" + ids, ErrTruncated},
		{"token ends early", "c0 00000001" + ids + "03 aabb", ErrTruncated},
		{"token of 2^62-1 bytes", "c0 00000001" + ids + "ffffffffffffffff", ErrTruncated},
		{"no Length", "c0 00000001" + ids + "01 aa", ErrTruncated},
		{"Length cut", "c0 00000001" + ids + "01 aa 40", ErrTruncated},
		{"Length beyond the datagram", "c0 00000001" + ids + "00 05 01020304", ErrTruncated},
		{"Length of 2^62-1", "e0 00000001" + ids + "ffffffffffffffff", ErrTruncated},
		{"0-RTT without Length", "d0 00000001" + ids, ErrTruncated},
		{"Handshake of v2 beyond the datagram", "f0 6b3343cf" + ids + "02 01", ErrTruncated},
		{"Retry without a tag", "f0 00000001" + ids + "000102030405060708090a0b0c0d0e", ErrTruncated},
		{"Retry without a token", "f0 00000001" + ids + "000102030405060708090a0b0c0d0e0f", ErrNoRetryToken},
		{"unknown version, ends early", "c0 0000000f 03 aabb", ErrTruncated},
	} {
		b := unhex(t, tt.hex)
		if _, err := ParseLongHeader(b[:len(b):len(b)]); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestParseLongHeaderUnknownVersion(t *testing.T) {
	r := newRand(3)
	for _, n := range []int{0, 20, 21, 255} {
		dst, src := randBytes(r, n), randBytes(r, 255-n)
		b := append([]byte{0x80, 0x1a, 0x2a, 0x3a, 0x4a, byte(n)}, dst...)
		b = append(append(b, byte(len(src))), src...)
		b = append(b, "anything"...)
		h, err := ParseLongHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.Type != UnknownVersion || h.Version != 0x1a2a3a4a || h.FixedBit || h.End != len(b) ||
			h.PNOffset != len(b)-len("anything") || !bytes.Equal(h.DstRaw, dst) || !bytes.Equal(h.SrcRaw, src) {
			t.Errorf("%d bytes: parsed %+v", n, h)
		}
		if want, ok := MakeConnID(dst); ok && h.DstConnID != want {
			t.Errorf("DstConnID %v, want %v", h.DstConnID, want)
		}
	}
}

func TestLongHeaderRoundTrip(t *testing.T) {
	r := newRand(4)
	for range 3000 {
		typ := PacketType(r.IntN(3))
		v := []Version{Version1, Version2}[r.IntN(2)]
		dst, src := randConnID(r), randConnID(r)
		var token []byte
		if typ == Initial {
			token = randBytes(r, r.IntN(100))
		}
		pnLen := 1 + r.IntN(4)
		payload := randBytes(r, r.IntN(1500))
		prefix := r.IntN(30)

		b := AppendLongHeader(make([]byte, prefix), typ, v, dst, src, token, pnLen)
		if len(b)-prefix != LongHeaderLen(typ, dst, src, len(token)) {
			t.Fatalf("LongHeaderLen = %d, appended %d", LongHeaderLen(typ, dst, src, len(token)), len(b)-prefix)
		}
		SetLongLength(b, len(b), pnLen+len(payload))
		pnOffset := len(b)
		b = append(AppendPacketNumber(b, r.Uint64(), pnLen), payload...)
		end := len(b)
		b = append(b, randBytes(r, r.IntN(20))...)

		h, err := ParseLongHeader(b[prefix:])
		if err != nil {
			t.Fatal(err)
		}
		if h.Type != typ || h.Version != v || h.DstConnID != dst || h.SrcConnID != src || !bytes.Equal(h.Token, token) ||
			h.PNOffset != pnOffset-prefix || h.End != end-prefix || !h.FixedBit || int(b[prefix]&PacketNumberBits)+1 != pnLen {
			t.Fatalf("%v %v %v %v: parsed %+v", typ, v, dst, src, h)
		}
	}
}

func TestSetLongLengthMisuse(t *testing.T) {
	mustPanic(t, "Length of 16384", func() { SetLongLength(make([]byte, 10), 10, MaxLongLength+1) })
	mustPanic(t, "negative Length", func() { SetLongLength(make([]byte, 10), 10, -1) })
}

// https://www.rfc-editor.org/rfc/rfc9001#appendix-A.4
// https://www.rfc-editor.org/rfc/rfc9369#appendix-A.4
func TestSampleRetry(t *testing.T) {
	for _, tt := range []struct {
		v   Version
		hex string
		tag string
	}{
		{Version1, "ff000000010008f067a5502a4262b5746f6b656e", "04a265ba2eff4d829058fb3f0f2496ba"},
		{Version2, "cf6b3343cf0008f067a5502a4262b5746f6b656e", "c8646ce8bfe33952d955543665dcc7b6"},
	} {
		src := mustConnID(t, "f067a5502a4262b5")
		without := AppendRetry(nil, tt.v, ConnID{}, src, []byte("token"), 0xff)
		if !bytes.Equal(without, unhex(t, tt.hex)) {
			t.Errorf("%v: wrote %x, the sample is %s", tt.v, without, tt.hex)
		}
		tag := unhex(t, tt.tag)
		p, err := ParseRetry(append(bytes.Clone(without), tag...))
		if err != nil {
			t.Fatal(err)
		}
		if p.Version != tt.v || p.DstConnID.Len() != 0 || p.SrcConnID != src || string(p.Token) != "token" ||
			!bytes.Equal(p.WithoutTag, without) || !bytes.Equal(p.Tag[:], tag) {
			t.Errorf("%v: parsed %+v", tt.v, p)
		}
	}
	if _, err := ParseRetry(unhex(t, "c0000000010000 00 00")); !errors.Is(err, ErrPacketType) {
		t.Errorf("Initial as Retry: %v", err)
	}
	if _, err := ParseRetry(nil); !errors.Is(err, ErrTruncated) {
		t.Errorf("nothing as Retry: %v", err)
	}
}

func TestVersionNegotiation(t *testing.T) {
	r := newRand(5)
	for _, n := range []int{0, 8, 20, 255} {
		dst, src := randBytes(r, n), randBytes(r, n)
		versions := []Version{Version2, Version1, GreasedVersion(7)}
		b := AppendVersionNegotiation(nil, dst, src, 0x35, versions)
		if b[0] != 0xf5 {
			t.Errorf("first byte %#x, want 0xf5", b[0])
		}
		p, err := ParseVersionNegotiation(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.DstRaw, dst) || !bytes.Equal(p.SrcRaw, src) || p.Len() != len(versions) {
			t.Errorf("parsed %+v", p)
		}
		for i, v := range versions {
			if p.Version(i) != v || !p.Contains(v) {
				t.Errorf("version %d is %v, want %v", i, p.Version(i), v)
			}
		}
		if p.Contains(3) {
			t.Error("contains version 3")
		}
		h, err := ParseLongHeader(b)
		if err != nil || h.Type != VersionNegotiation || h.End != len(b) || !bytes.Equal(h.DstRaw, dst) {
			t.Errorf("ParseLongHeader: %+v, %v", h, err)
		}
		for cut := 1; cut <= 4*len(versions); cut++ {
			_, err := ParseVersionNegotiation(b[:len(b)-cut])
			if ok := cut%4 == 0 && cut < 4*len(versions); (err == nil) != ok {
				t.Errorf("%d bytes cut off: %v", cut, err)
			}
		}
	}
	if _, err := ParseVersionNegotiation(unhex(t, "c0 00000001 00 00 00000001")); !errors.Is(err, ErrPacketType) {
		t.Errorf("Initial as Version Negotiation: %v", err)
	}
	if _, err := ParseVersionNegotiation([]byte{0x40}); !errors.Is(err, ErrNotLongHeader) {
		t.Errorf("short header as Version Negotiation: %v", err)
	}
}

func TestStatelessReset(t *testing.T) {
	token := [ResetTokenLen]byte(unhex(t, "000102030405060708090a0b0c0d0e0f"))
	b := AppendStatelessReset([]byte{0xee}, unhex(t, "ff01020304"), token)[1:]
	if len(b) != MinStatelessResetLen || b[0] != 0x7f {
		t.Errorf("wrote %x", b)
	}
	if got, ok := ParseStatelessReset(b); !ok || got != token {
		t.Errorf("ParseStatelessReset = %x, %v", got, ok)
	}
	if _, ok := ParseStatelessReset(b[1:]); ok {
		t.Error("took 20 bytes for a Stateless Reset")
	}
}
