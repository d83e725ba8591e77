package wire

import (
	"bytes"
	"testing"
)

func TestStreamFrame(t *testing.T) {
	with := func(b []byte, f StreamFrame) []byte { return AppendStream(b, f, true) }
	(&frameTest[StreamFrame]{
		parse: ParseStream, append: with,
		length: func(f StreamFrame) int { return f.Len(true) },
		good: []goodFrame[StreamFrame]{
			{"0a 00 00", StreamFrame{Data: []byte{}}},
			{"0a 04 03 616263", StreamFrame{ID: 4, Data: []byte("abc")}},
			{"0b 04 03 616263", StreamFrame{ID: 4, Data: []byte("abc"), Fin: true}},
			{"0e 4100 4400 01 ff", StreamFrame{ID: 256, Offset: 1024, Data: []byte{0xff}}},
			{"0f 04 c000000100000000 00", StreamFrame{ID: 4, Offset: 1 << 32, Data: []byte{}, Fin: true}},
			{"0e ffffffffffffffff fffffffffffffffe 01 ff", StreamFrame{ID: MaxVarint, Offset: MaxVarint - 1, Data: []byte{0xff}}},
		},
		bad: []badFrame{
			{"data ends early", "0a 04 04 616263"},
			{"length of 2^62-1", "0a 04 ffffffffffffffff 616263"},
			{"data ends beyond 2^62-1", "0e 04 ffffffffffffffff 01 ff"},
			{"data ends beyond 2^62-1, without length", "0c 04 ffffffffffffffff ff"},
			{"no stream ID", "08"},
			{"no offset", "0c 04"},
			{"offset cut", "0d 04 40"},
		},
	}).run(t)

	without := func(b []byte, f StreamFrame) []byte { return AppendStream(b, f, false) }
	(&frameTest[StreamFrame]{
		parse: ParseStream, append: without,
		length: func(f StreamFrame) int { return f.Len(false) },
		good: []goodFrame[StreamFrame]{
			{"08 04", StreamFrame{ID: 4, Data: []byte{}}},
			{"08 04 616263", StreamFrame{ID: 4, Data: []byte("abc")}},
			{"09 04 616263", StreamFrame{ID: 4, Data: []byte("abc"), Fin: true}},
			{"0c 04 4100 616263", StreamFrame{ID: 4, Offset: 256, Data: []byte("abc")}},
			{"0d 04 ffffffffffffffff", StreamFrame{ID: 4, Offset: MaxVarint, Data: []byte{}, Fin: true}},
		},
		greedy: true,
	}).run(t)
}

// An Offset field of zero is legal, though never sent.
func TestStreamFrameZeroOffset(t *testing.T) {
	f, n := ParseStream(unhex(t, "0e 04 00 01 ff 01"))
	if n != 5 || f.Offset != 0 || !bytes.Equal(f.Data, []byte{0xff}) {
		t.Errorf("parsed %d bytes as %+v", n, f)
	}
}

// Data never reaches into what follows the frame.
func TestDataIsBounded(t *testing.T) {
	stream, _ := ParseStream(unhex(t, "0a 04 01 ff 010203"))
	crypto, _ := ParseCrypto(unhex(t, "06 04 01 ff 010203"))
	token, _ := ParseNewToken(unhex(t, "07 01 ff 010203"))
	closing, _ := ParseConnectionClose(unhex(t, "1d 04 01 ff 010203"))
	for name, p := range map[string][]byte{
		"STREAM": stream.Data, "CRYPTO": crypto.Data, "NEW_TOKEN": token.Token, "CONNECTION_CLOSE": closing.Reason,
	} {
		if len(p) != 1 || cap(p) != 1 {
			t.Errorf("%s: length %d, capacity %d; want 1, 1", name, len(p), cap(p))
		}
	}
}

func TestHeaderLens(t *testing.T) {
	r := newRand(6)
	for range 3000 {
		id, off, n := randVarint(r), randVarint(r)*uint64(r.IntN(2)), r.IntN(20000)
		withLen, fin := r.IntN(2) == 0, r.IntN(2) == 0
		if got, want := StreamHeaderLen(id, off, n, withLen), len(AppendStreamHeader(nil, id, off, n, fin, withLen)); got != want {
			t.Fatalf("StreamHeaderLen(%d, %d, %d, %v) = %d, want %d", id, off, n, withLen, got, want)
		}
		if got, want := CryptoHeaderLen(off, n), len(AppendCryptoHeader(nil, off, n)); got != want {
			t.Fatalf("CryptoHeaderLen(%d, %d) = %d, want %d", off, n, got, want)
		}
	}
}
