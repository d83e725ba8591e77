package protection

import (
	"bytes"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// FuzzUnmaskOpen hands arbitrary bytes to a receiver: no panic, no packet
// accepted that was not sealed, nothing written past the packet. Then it seals
// the same bytes and expects them back.
func FuzzUnmaskOpen(f *testing.F) {
	for _, v := range sampleVersions {
		f.Add(unhex(f, v.client.sealed)[:64], 18, uint8(0), uint32(0), uint64(2))
		f.Add(unhex(f, v.server.sealed), 18, uint8(1), uint32(0), uint64(1))
		f.Add(unhex(f, v.chacha.sealed), 1, uint8(2), uint32(3), v.chacha.pn)
	}
	f.Add([]byte{}, 0, uint8(0), uint32(0), uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, pnOff int, which uint8, pathID uint32, pn uint64) {
		s, o := testPair(t, wire.Version1, benchSuites[int(which)%len(benchSuites)].suite)

		backing := append(bytes.Clone(data), 0xee)
		pkt := backing[:len(data):len(data)]
		pnLen, truncated, ok := o.Unmask(pkt, pnOff)
		if ok && (pnLen < 1 || pnLen > 4 || truncated>>(8*pnLen) != 0) {
			t.Fatalf("Unmask = %d, %#x", pnLen, truncated)
		}
		if !ok && !bytes.Equal(pkt, data) {
			t.Fatal("Unmask refused the packet but changed it")
		}
		if _, err := o.Open(pkt, pnOff, pnLen, pathID, pn); err == nil {
			t.Fatal("opened a packet nobody sealed")
		}
		if backing[len(data)] != 0xee {
			t.Fatal("wrote past the packet")
		}

		if len(data) == 0 {
			return
		}
		const headerLen = 9
		pnLen = int(data[0]&pnLenMask) + 1
		pkt = buildPacket(data[0], headerLen, pnLen, pn, append(bytes.Clone(data), 0, 0))
		plain := bytes.Clone(pkt[:len(pkt)-Overhead])
		s.Seal(pkt, headerLen, pnLen, pathID, pn)
		gotLen, _, ok := o.Unmask(pkt, headerLen)
		if !ok || gotLen != pnLen {
			t.Fatalf("Unmask = %d, %v, want %d", gotLen, ok, pnLen)
		}
		got, err := o.Open(pkt, headerLen, pnLen, pathID, pn)
		if err != nil || !bytes.Equal(got, plain[headerLen+pnLen:]) || !bytes.Equal(pkt[:headerLen+pnLen], plain[:headerLen+pnLen]) {
			t.Fatalf("round trip: %v", err)
		}
	})
}
