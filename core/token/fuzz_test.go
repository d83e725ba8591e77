package token

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/pquic-go/pquic/core/mono"
)

// FuzzOpen hands arbitrary bytes to a server as a token, and as the body of one
// that somebody with the key has sealed.
func FuzzOpen(f *testing.F) {
	k := newTestKeyring(f, key(1), key(2))
	f.Add(k.SealRetry(testNow, testAddr, testODCID, testSrc), int64(testNow))
	f.Add(k.SealNew(testNow, testAddr.Addr()), int64(testNow))
	f.Add((&body{token: Token{Retry: true, ODCID: testODCID, RetrySrcCID: testSrc, Issued: testNow}, addr: testAddr}).appendTo(nil), int64(testNow))
	f.Add((&body{token: Token{Issued: testNow}, addr: testAddr}).appendTo(nil), int64(-1))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, data []byte, now int64) {
		k := newTestKeyring(t, key(9), key(8))
		if got, err := k.Open(mono.Time(now), data, testAddr); !errors.Is(err, ErrForged) || got != (Token{}) {
			t.Fatalf("token nobody sealed: %+v, %v", got, err)
		}

		p, ok := parseBody(data)
		if !ok {
			return
		}
		if again := p.appendTo(nil); !bytes.Equal(again, data) {
			// Only addresses have two forms, and both are kept alike.
			t.Fatalf("body %x is written back as %x", data, again)
		}
		tok := k.seal(&p)
		got, err := k.Open(mono.Time(now), tok, netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()))
		if err != nil && !errors.Is(err, ErrExpired) && !(errors.Is(err, ErrReplayed) && p.token.Issued < 0) {
			t.Fatalf("sealed body: %v", err)
		}
		if got != p.token {
			t.Fatalf("sealed body opens as %+v, want %+v", got, p.token)
		}
	})
}
