package token

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// seeded returns a repeatable source of random bytes.
func seeded(seed uint64) func([]byte) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	c := rand.NewChaCha8(key)
	return func(b []byte) { c.Read(b) }
}

const testNow = mono.Time(1_700_000_000 * time.Second)

var (
	testAddr  = netip.MustParseAddrPort("192.0.2.1:4433")
	testODCID = mustConnID("8394c8f03e515708")
	testSrc   = mustConnID("f067a5502a4262b5")
)

func mustConnID(s string) wire.ConnID {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	id, _ := wire.MakeConnID(b)
	return id
}

func key(b byte) Key { return Key(bytes.Repeat([]byte{b}, Size)) }

func newTestKeyring(t testing.TB, keys ...Key) *Keyring {
	t.Helper()
	k, err := NewKeyring(Config{Keys: keys, Random: seeded(uint64(keys[0][0]))})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRetryToken(t *testing.T) {
	k := newTestKeyring(t, key(1))
	tok := k.SealRetry(testNow, testAddr, testODCID, testSrc)
	want := Token{Retry: true, ODCID: testODCID, RetrySrcCID: testSrc, Issued: testNow}
	open := func(now mono.Time, addr string) (Token, error) {
		return k.Open(now, tok, netip.MustParseAddrPort(addr))
	}
	for _, c := range []struct {
		why  string
		now  mono.Time
		addr string
		err  error
	}{
		{"same client", testNow, "192.0.2.1:4433", nil},
		{"again: every Initial of the attempt carries it", testNow, "192.0.2.1:4433", nil},
		{"address of a dual-stack socket", testNow, "[::ffff:192.0.2.1]:4433", nil},
		{"at the end of its life", testNow.Add(DefaultRetryLifetime), "192.0.2.1:4433", nil},
		{"too late", testNow.Add(DefaultRetryLifetime + 1), "192.0.2.1:4433", ErrExpired},
		{"another machine's clock is behind", testNow.Add(-ClockSkew), "192.0.2.1:4433", nil},
		{"from the future", testNow.Add(-ClockSkew - 1), "192.0.2.1:4433", ErrExpired},
		{"another port", testNow, "192.0.2.1:4434", ErrAddress},
		{"another address", testNow, "192.0.2.2:4433", ErrAddress},
		{"another family", testNow, "[2001:db8::1]:4433", ErrAddress},
	} {
		got, err := open(c.now, c.addr)
		if !errors.Is(err, c.err) || got != want {
			t.Errorf("%s: %+v, %v, want %+v, %v", c.why, got, err, want, c.err)
		}
	}
}

func TestNewToken(t *testing.T) {
	k := newTestKeyring(t, key(1))
	for _, c := range []struct {
		why         string
		issued, now mono.Time
		from, to    string
		err         error
	}{
		{"another port", testNow, testNow, "192.0.2.1", "192.0.2.1:1", nil},
		{"the next day", testNow, testNow.Add(DefaultNewLifetime), "192.0.2.1", "192.0.2.1:1", nil},
		{"too late", testNow, testNow.Add(DefaultNewLifetime + 1), "192.0.2.1", "192.0.2.1:1", ErrExpired},
		{"from the future", testNow, testNow.Add(-ClockSkew - 1), "192.0.2.1", "192.0.2.1:1", ErrExpired},
		{"IPv6", testNow, testNow, "2001:db8::1", "[2001:db8::1]:1", nil},
		{"another interface", testNow, testNow, "fe80::1%a", "[fe80::1%b]:1", nil},
		{"IPv4 mapped into IPv6", testNow, testNow, "::ffff:192.0.2.1", "192.0.2.1:1", nil},
		{"another address", testNow, testNow, "192.0.2.1", "192.0.2.2:1", ErrAddress},
	} {
		tok := k.SealNew(c.issued, netip.MustParseAddr(c.from))
		want := Token{Version: wire.Version1, Issued: c.issued}
		got, err := k.Open(c.now, tok, netip.MustParseAddrPort(c.to))
		if !errors.Is(err, c.err) || got != want {
			t.Errorf("%s: %+v, %v, want %+v, %v", c.why, got, err, want, c.err)
		}
		if err != nil {
			continue
		}
		if _, err := k.Open(c.now, tok, netip.MustParseAddrPort(c.to)); !errors.Is(err, ErrReplayed) {
			t.Errorf("%s, used again: %v, want ErrReplayed", c.why, err)
		}
	}
	got, err := k.Open(testNow, k.SealNewVersion(testNow, testAddr.Addr(), wire.Version2), testAddr)
	if err != nil || got.Version != wire.Version2 {
		t.Errorf("version of a token sealed for version 2: %v, %v", got.Version, err)
	}
}

// A token that does not validate an address is not used up by trying.
func TestFailureDoesNotUseUp(t *testing.T) {
	k := newTestKeyring(t, key(1))
	tok := k.SealNew(testNow, testAddr.Addr())
	if _, err := k.Open(testNow, tok, netip.MustParseAddrPort("198.51.100.7:1")); !errors.Is(err, ErrAddress) {
		t.Fatalf("another address: %v, want ErrAddress", err)
	}
	if _, err := k.Open(testNow, tok, testAddr); err != nil {
		t.Errorf("the client it was issued to: %v", err)
	}
}

func TestForgery(t *testing.T) {
	k := newTestKeyring(t, key(1))
	for name, tok := range map[string][]byte{
		"Retry":     k.SealRetry(testNow, testAddr, testODCID, testSrc),
		"NEW_TOKEN": k.SealNew(testNow, testAddr.Addr()),
	} {
		for i := range tok {
			for bit := range 8 {
				forged := bytes.Clone(tok)
				forged[i] ^= 1 << bit
				if got, err := k.Open(testNow, forged, testAddr); !errors.Is(err, ErrForged) || got != (Token{}) {
					t.Fatalf("%s token with bit %d of byte %d changed: %+v, %v", name, bit, i, got, err)
				}
			}
		}
		for n := range tok {
			if _, err := k.Open(testNow, tok[:n], testAddr); !errors.Is(err, ErrForged) {
				t.Fatalf("%s token cut to %d bytes: %v", name, n, err)
			}
		}
		if _, err := k.Open(testNow, append(bytes.Clone(tok), make([]byte, 100)...), testAddr); !errors.Is(err, ErrForged) {
			t.Errorf("%s token with 100 bytes appended: %v", name, err)
		}
		if _, err := newTestKeyring(t, key(2)).Open(testNow, tok, testAddr); !errors.Is(err, ErrForged) {
			t.Errorf("%s token of another server: %v", name, err)
		}
		if _, err := k.Open(testNow, tok, testAddr); err != nil {
			t.Errorf("%s token after all attempts at forging it: %v", name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	a := newTestKeyring(t, key(1))
	b := newTestKeyring(t, key(1))
	check := func(why string, from, to *Keyring, want error) {
		t.Helper()
		for _, tok := range [][]byte{from.SealRetry(testNow, testAddr, testODCID, testSrc), from.SealNew(testNow, testAddr.Addr())} {
			if _, err := to.Open(testNow, tok, testAddr); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", why, err, want)
			}
		}
	}
	rotate := func(k *Keyring, keys ...Key) {
		t.Helper()
		if err := k.Rotate(keys); err != nil {
			t.Fatal(err)
		}
	}
	check("two machines, one key", a, b, nil)
	rotate(a, key(1), key(2))
	check("new key added on one", a, b, nil)
	check("new key added on one, other way", b, a, nil)
	rotate(b, key(1), key(2))
	rotate(a, key(2), key(1))
	check("new key first on one", a, b, nil)
	check("new key first on one, other way", b, a, nil)
	old := b.SealNew(testNow, testAddr.Addr())
	rotate(b, key(2), key(1))
	rotate(a, key(2))
	if _, err := a.Open(testNow, old, testAddr); !errors.Is(err, ErrForged) {
		t.Errorf("token of a key rotated out: %v, want ErrForged", err)
	}
	if _, err := b.Open(testNow, old, testAddr); err != nil {
		t.Errorf("token of the second key: %v", err)
	}
	if err := a.Rotate(nil); err == nil {
		t.Error("a keyring without keys is accepted")
	}
	check("after a refused rotation", a, b, nil)
}

func TestConfigErrors(t *testing.T) {
	keys := []Key{key(1)}
	for why, cfg := range map[string]Config{
		"no key":                  {Random: seeded(1)},
		"no randomness":           {Keys: keys},
		"negative Retry lifetime": {Keys: keys, Random: seeded(1), RetryLifetime: -1},
		"negative lifetime":       {Keys: keys, Random: seeded(1), NewLifetime: -1},
	} {
		if _, err := NewKeyring(cfg); err == nil {
			t.Errorf("%s: no error", why)
		}
	}
}

func TestLifetimesAreConfigurable(t *testing.T) {
	k, err := NewKeyring(Config{Keys: []Key{key(1)}, Random: seeded(1), RetryLifetime: time.Second, NewLifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	retry := k.SealRetry(testNow, testAddr, testODCID, testSrc)
	if _, err := k.Open(testNow.Add(2*time.Second), retry, testAddr); !errors.Is(err, ErrExpired) {
		t.Errorf("Retry token after 2 s: %v, want ErrExpired", err)
	}
	tok := k.SealNew(testNow, testAddr.Addr())
	if _, err := k.Open(testNow.Add(time.Minute), tok, testAddr); err != nil {
		t.Errorf("NEW_TOKEN token after a minute: %v", err)
	}
	if _, err := k.Open(testNow.Add(time.Minute+1), tok, testAddr); !errors.Is(err, ErrExpired) {
		t.Errorf("NEW_TOKEN token after more than a minute: %v, want ErrExpired", err)
	}
}

// "A token issued with NEW_TOKEN MUST NOT include information that would allow
// values to be linked by an observer to the connection on which it was issued."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
func TestTokensAreUnlinkable(t *testing.T) {
	k := newTestKeyring(t, key(1))
	a, b := k.SealNew(testNow, testAddr.Addr()), k.SealNew(testNow, testAddr.Addr())
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same > 6 {
		t.Errorf("%d of %d bytes of two tokens for one client are equal", same, len(a))
	}
	v6 := k.SealNew(testNow.Add(time.Hour), netip.MustParseAddr("2001:db8::1"))
	if len(v6) != len(a) {
		t.Errorf("tokens differ in length: %d for IPv6, %d for IPv4", len(v6), len(a))
	}
}

func TestLongestToken(t *testing.T) {
	k := newTestKeyring(t, key(1))
	long, _ := wire.MakeConnID(bytes.Repeat([]byte{7}, wire.MaxConnIDLen))
	tok := k.SealRetry(testNow, testAddr, long, long)
	if len(tok) != MaxLen {
		t.Errorf("longest token has %d bytes, MaxLen is %d", len(tok), MaxLen)
	}
	if got, err := k.Open(testNow, tok, testAddr); err != nil || got.ODCID != long || got.RetrySrcCID != long {
		t.Errorf("Open = %+v, %v", got, err)
	}
	tok = k.SealRetry(testNow, netip.AddrPort{}, wire.ConnID{}, wire.ConnID{})
	if len(tok) < minTokenLen {
		t.Errorf("shortest token has %d bytes, minTokenLen is %d", len(tok), minTokenLen)
	}
}

// https://c2sp.org/XAES-256-GCM, "Test vectors"
func TestXAES(t *testing.T) {
	for _, c := range []struct {
		key        Key
		data, want string
	}{
		{key(1), "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{key(3), "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		x, err := newXAES(&c.key)
		if err != nil {
			t.Fatal(err)
		}
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		sealed, err := x.seal(nil, nonce, []byte("XAES-256-GCM"), []byte(c.data))
		if err != nil || hex.EncodeToString(sealed) != c.want {
			t.Errorf("seal = %x, %v, want %s", sealed, err, c.want)
		}
		opened, err := x.open(nil, nonce, sealed, []byte(c.data))
		if err != nil || string(opened) != "XAES-256-GCM" {
			t.Errorf("open = %q, %v", opened, err)
		}
	}
}

func TestParseBody(t *testing.T) {
	retry := (&body{token: Token{Retry: true, ODCID: testODCID, RetrySrcCID: testSrc}, addr: testAddr}).appendTo(nil)
	fresh := (&body{token: Token{Version: wire.Version1}, addr: testAddr}).appendTo(nil)
	for name, b := range map[string][]byte{"Retry": retry, "NEW_TOKEN": fresh} {
		if _, ok := parseBody(b); !ok {
			t.Errorf("%s body refused", name)
		}
		for n := range b {
			if _, ok := parseBody(b[:n]); ok {
				t.Errorf("%s body cut to %d bytes accepted", name, n)
			}
		}
		if _, ok := parseBody(append(bytes.Clone(b), 0)); ok {
			t.Errorf("%s body with a byte appended accepted", name)
		}
		if _, ok := parseBody(append([]byte{3}, b[1:]...)); ok {
			t.Errorf("%s body of unknown kind accepted", name)
		}
	}
	long := bytes.Clone(retry[:commonLen+2])
	long = append(long, 21)
	long = append(long, make([]byte, 21)...)
	if _, ok := parseBody(append(long, 0)); ok {
		t.Error("connection ID of 21 bytes accepted")
	}
}

func TestTicketKeys(t *testing.T) {
	keys := []Key{key(1), key(2)}
	tickets := TicketKeys(keys)
	if len(tickets) != 2 || tickets[0] == tickets[1] || tickets[0] == keys[0] {
		t.Fatalf("TicketKeys = %x", tickets)
	}
	if again := TicketKeys(keys[1:]); again[0] != tickets[1] {
		t.Error("a ticket key depends on its place in the ring")
	}
	if address, err := deriveKey(&keys[0], labelAddress); err != nil || address == tickets[0] {
		t.Errorf("ticket key and token key are the same, or %v", err)
	}
	new(tls.Config).SetSessionTicketKeys(tickets)
}

func TestStatelessResetToken(t *testing.T) {
	got := StatelessResetToken(key(1), testODCID)
	if got != StatelessResetToken(key(1), testODCID) {
		t.Error("not a function of key and connection ID")
	}
	if got == StatelessResetToken(key(2), testODCID) {
		t.Error("does not depend on the key")
	}
	if got == StatelessResetToken(key(1), testSrc) {
		t.Error("does not depend on the connection ID")
	}
	zero, _ := wire.MakeConnID(append(testODCID.AppendTo(nil), 0))
	if got == StatelessResetToken(key(1), zero) {
		t.Error("does not depend on the length of the connection ID")
	}
	// A change would turn off every reset between old and new programs. The
	// value was computed with OpenSSL from the definition.
	if want := "23bda0cbdb1ba699500494c9154aac05"; hex.EncodeToString(got[:]) != want {
		t.Errorf("StatelessResetToken = %x, want %s", got, want)
	}
}

func BenchmarkSealRetry(b *testing.B) {
	k := newTestKeyring(b, key(1))
	b.ReportAllocs()
	for b.Loop() {
		k.SealRetry(testNow, testAddr, testODCID, testSrc)
	}
}

func BenchmarkOpenRetry(b *testing.B) {
	k := newTestKeyring(b, key(1))
	tok := k.SealRetry(testNow, testAddr, testODCID, testSrc)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(testNow, tok, testAddr); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStatelessResetToken(b *testing.B) {
	secret := key(1)
	b.ReportAllocs()
	for b.Loop() {
		StatelessResetToken(secret, testODCID)
	}
}
