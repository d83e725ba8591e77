package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// https://www.rfc-editor.org/rfc/rfc9001#appendix-A.1
// https://www.rfc-editor.org/rfc/rfc9369#appendix-A.1
func TestInitialKeys(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for _, c := range []struct {
		version uint32
		side    Side
		secret  string
		iv      string
	}{
		{Version1, Client, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea", "fa044b2f42a3fd3b46fb255c"},
		{Version1, Server, "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b", "0ac1493ca1905853b0bba03e"},
		{Version2, Client, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b", "91f73e2351d8fa91660e909f"},
	} {
		k, err := initialKeys(c.version, dcid, c.side)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(k.secret); got != c.secret {
			t.Errorf("version %x %v: secret %s, want %s", c.version, c.side, got, c.secret)
		}
		if got := hex.EncodeToString(k.iv); got != c.iv {
			t.Errorf("version %x %v: IV %s, want %s", c.version, c.side, got, c.iv)
		}
	}
}

func TestParseFrames(t *testing.T) {
	payload := []byte{
		0x00, 0x01,
		0x02, 0x0a, 0x00, 0x01, 0x02, 0x00, 0x03, // ACK with one more range
		0x03, 0x0a, 0x00, 0x00, 0x02, 0x05, 0x06, 0x07, // ACK with ECN counts
		0x06, 0x04, 0x02, 'h', 'i', // CRYPTO
		0x1a, 1, 2, 3, 4, 5, 6, 7, 8, // PATH_CHALLENGE
		0x18, 0x01, 0x00, 0x02, 0xaa, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // NEW_CONNECTION_ID
		0x0b, 0x04, 0x01, 'x', // STREAM with length and FIN
		0x1d, 0x41, 0x00, 0x02, 'o', 'k', // application close, 0x100
		0x08, 0x04, 'r', 'e', 's', 't', // STREAM to the end
	}
	var kinds []uint64
	var frames []frame
	if err := parseFrames(payload, func(f frame) { kinds, frames = append(kinds, f.kind), append(frames, f) }); err != nil {
		t.Fatal(err)
	}
	want := []uint64{0, 1, 2, 3, 6, 0x1a, 0x18, 0x0b, 0x1d, 0x08}
	if len(kinds) != len(want) {
		t.Fatalf("frames %x, want %x", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("frames %x, want %x", kinds, want)
		}
	}
	if f := frames[4]; f.offset != 4 || string(f.data) != "hi" {
		t.Errorf("CRYPTO frame %+v", f)
	}
	if f := frames[6]; !bytes.Equal(f.data, []byte{0xaa, 0xbb}) {
		t.Errorf("connection ID %x", f.data)
	}
	if f := frames[8]; f.code != 0x100 {
		t.Errorf("close code %#x, want 0x100", f.code)
	}
	if err := parseFrames([]byte{0x06, 0x00, 0x05, 'x'}, func(frame) {}); err == nil {
		t.Error("a CRYPTO frame that ends early was accepted")
	}
}

func TestCryptoStreamOutOfOrder(t *testing.T) {
	var s cryptoStream
	message := append([]byte{1, 0, 0, 6}, "abcdef"...)
	s.add(7, message[7:])
	s.add(0, message[:3])
	if _, _, ok := s.message(); ok {
		t.Error("a message with a gap was given out")
	}
	s.add(2, message[2:8])
	kind, body, ok := s.message()
	if !ok || kind != 1 || string(body) != "abcdef" {
		t.Errorf("message %d %q %v", kind, body, ok)
	}
	if s.highest != 10 {
		t.Errorf("highest offset %d, want 10", s.highest)
	}
}

func TestFullNumber(t *testing.T) {
	var c Conn
	c.seen[Client][2], c.largest[Client][2] = true, 0xa82f30ea
	// https://www.rfc-editor.org/rfc/rfc9000#appendix-A.3
	if got := c.fullNumber(Client, 2, 0x9b32, 2); got != 0xa82f9b32 {
		t.Errorf("packet number %x, want a82f9b32", got)
	}
}

func TestAmplification(t *testing.T) {
	var c Conn
	for _, d := range []struct {
		from      Side
		size      int
		lost, val bool
	}{{Client, 1200, false, false}, {Client, 1200, true, false}, {Server, 2400, false, false}, {Server, 1800, false, false}, {Client, 100, false, true}, {Server, 90000, false, false}} {
		c.amplify(&Datagram{From: d.from, Lost: d.lost, Payload: make([]byte, d.size)}, d.val)
	}
	if got := c.Amplification(); got != 3.5 {
		t.Errorf("amplification %v, want 3.5: a lost datagram gives no credit, a validated address needs none", got)
	}
}

func TestPcap(t *testing.T) {
	var out bytes.Buffer
	log := []Datagram{
		{At: 1500 * time.Millisecond, From: Server, Client: netip.MustParseAddrPort("[::1]:1"), Server: netip.MustParseAddrPort("[::1]:2"), Payload: []byte("abc")},
		{From: Client, Client: netip.MustParseAddrPort("127.0.0.1:1"), Server: netip.MustParseAddrPort("127.0.0.1:2"), ECN: 2},
	}
	if err := WritePcap(&out, log); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	if want := 24 + 16 + 40 + 8 + 3 + 16 + 20 + 8; len(b) != want {
		t.Fatalf("%d bytes, want %d", len(b), want)
	}
	if s, ns := binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:]); s != 1 || ns != 5e8 {
		t.Errorf("time %d s %d ns, want 1.5 s", s, ns)
	}
}

func TestKeyLogSkipsWhatItCannotRead(t *testing.T) {
	k := make(KeyLog)
	if err := k.read(bytes.NewBufferString("# comment\nLABEL AABB 0102\nHALF aabb 010\nLABEL\n")); err != nil {
		t.Fatal(err)
	}
	if got := k.secret("LABEL", []byte{0xaa, 0xbb}); !bytes.Equal(got, []byte{1, 2}) || len(k) != 1 {
		t.Errorf("secret %x of %d, want 0102 of 1", got, len(k))
	}
	if err := k.ReadKeyLog(t.TempDir() + "/absent"); err != nil {
		t.Errorf("a key log that was never written: %v", err)
	}
}

// initialFrom is a client's Initial packet.
func initialFrom(t *testing.T, origin, dst, src wire.ConnID, pn uint64) []byte {
	t.Helper()
	secret, _ := protection.InitialSecrets(wire.Version1, origin)
	seal, err := protection.NewSealer(wire.Version1, suiteAES128, secret)
	if err != nil {
		t.Fatal(err)
	}
	b := wire.AppendLongHeader(nil, wire.Initial, wire.Version1, dst, src, nil, 1)
	at := len(b)
	b = wire.AppendPacketNumber(b, pn, 1)
	b = append(b, make([]byte, 100+seal.Overhead())...) // PADDING
	wire.SetLongLength(b, at, len(b)-at)
	seal.Seal(b, at, 1, 0, pn)
	return b
}

// A packet whose connection ID was damaged on the way begins no connection, nor
// does it take over its sender's.
func TestDamagedInitial(t *testing.T) {
	id := func(s string) wire.ConnID { c, _ := wire.MakeConnID([]byte(s)); return c }
	origin, client := id("original"), id("theclien")
	first := initialFrom(t, origin, origin, client, 0)
	second := initialFrom(t, origin, origin, client, 1)
	damaged := bytes.Clone(second)
	damaged[6+3] ^= 0x40 // in the Destination Connection ID
	var log []Datagram
	for _, b := range [][]byte{damaged, first, damaged, second} {
		log = append(log, Datagram{From: Client, Payload: b})
	}
	trace := Analyze(log, make(KeyLog))
	if len(trace.Conns) != 1 || trace.Stray != 2 {
		t.Fatalf("%d connections and %d stray packets, want 1 and 2", len(trace.Conns), trace.Stray)
	}
	if n := trace.Conns[0].Paths[0].Datagrams[Client]; n != 2 {
		t.Errorf("%d datagrams belong to the connection, want 2", n)
	}
}

// FuzzAnalyze takes any datagrams: each is a length, a side and bytes.
func FuzzAnalyze(f *testing.F) {
	f.Add([]byte{0, 5, 0x40, 1, 2, 3, 4})
	initial, _ := hex.DecodeString("c300000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11")
	f.Add(append([]byte{0, byte(len(initial))}, initial...))
	f.Add([]byte{1, 20, 0x80, 0, 0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var log []Datagram
		for len(b) >= 2 {
			n := min(int(b[1]), len(b)-2)
			log = append(log, Datagram{From: Side(b[0] & 1), Payload: b[2 : 2+n]})
			b = b[2+n:]
		}
		Analyze(log, make(KeyLog))
	})
}
