package token

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// Size is the length of a Key in bytes.
const Size = 32

// A Key is a secret that servers share; it must come from a cryptographically
// secure source. One Key may serve tokens, session tickets and stateless
// resets: what is derived for one use tells nothing about another.
type Key = [Size]byte

// Defaults of Config.
const (
	DefaultRetryLifetime = 10 * time.Second
	DefaultNewLifetime   = 24 * time.Hour
)

// ClockSkew is how far in the future a token may have been issued, on a machine
// whose clock runs ahead.
const ClockSkew = 10 * time.Second

// Why a token does not validate an address. All but ErrForged come with the
// token's contents.
var (
	// ErrForged reports bytes that no key of the ring has sealed: damaged,
	// invented, of a server with other keys or of a key since rotated out.
	ErrForged = errors.New("token: not sealed by this server")
	// ErrExpired reports a token older than its lifetime, or from the future.
	ErrExpired = errors.New("token: expired")
	// ErrAddress reports a token issued to another address.
	ErrAddress = errors.New("token: issued to another address")
	// ErrReplayed reports a NEW_TOKEN token that has been used before, or that
	// can no longer be told from one.
	ErrReplayed = errors.New("token: used before")
)

// Config configures a Keyring.
type Config struct {
	// Keys seal and open tokens: the first seals, all open. At least one.
	Keys []Key
	// Random fills its argument from a cryptographically secure source.
	// Required.
	Random func([]byte)
	// RetryLifetime and NewLifetime tell how long tokens of Retry packets and
	// NEW_TOKEN frames are accepted. Zero means the default.
	RetryLifetime, NewLifetime time.Duration
	// Replay remembers which NEW_TOKEN tokens were used. All Keyrings of a
	// process should share one. Nil means one of the Keyring's own.
	Replay *ReplayGuard
}

// A Keyring makes and checks the address validation tokens of a server. It is
// not safe for concurrent use: each worker has its own, made from the same keys
// and ReplayGuard.
type Keyring struct {
	keys        []xaes
	random      func([]byte)
	retryMax    time.Duration
	newMax      time.Duration
	replay      *ReplayGuard
	scratch     [maxBodyLen]byte
	openScratch [maxBodyLen]byte
}

// NewKeyring returns a Keyring, or an error if the configuration has no key, no
// randomness, or a negative lifetime.
func NewKeyring(cfg Config) (*Keyring, error) {
	k := &Keyring{
		random:   cfg.Random,
		retryMax: cfg.RetryLifetime,
		newMax:   cfg.NewLifetime,
		replay:   cfg.Replay,
	}
	if k.random == nil {
		return nil, errors.New("token: Config.Random is nil")
	}
	if k.retryMax < 0 || k.newMax < 0 {
		return nil, errors.New("token: negative lifetime")
	}
	if k.retryMax == 0 {
		k.retryMax = DefaultRetryLifetime
	}
	if k.newMax == 0 {
		k.newMax = DefaultNewLifetime
	}
	if k.replay == nil {
		k.replay = NewReplayGuard(k.newMax, 0)
	}
	return k, k.Rotate(cfg.Keys)
}

// Rotate replaces the keys: from now on the first seals, all open. It copies
// them. On error the ring stays as it was.
//
// Where machines share keys, rotate in two steps: first add the new key behind
// the old one everywhere, then put it first. Keep the old one for the lifetime
// of its tokens.
func (k *Keyring) Rotate(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("token: a keyring needs a key")
	}
	ring := make([]xaes, len(keys))
	for i := range keys {
		key, err := deriveKey(&keys[i], labelAddress)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		if ring[i], err = newXAES(&key); err != nil {
			return fmt.Errorf("token: %w", err)
		}
	}
	k.keys = ring
	return nil
}

// A Token is what a sealed token says.
type Token struct {
	// Retry tells a Retry packet's token from a NEW_TOKEN frame's.
	Retry bool
	// ODCID is the Destination Connection ID of the client's first Initial
	// packet, RetrySrcCID the Source Connection ID of the Retry packet. Both
	// are empty unless Retry is set. They become transport parameters; the
	// Destination Connection ID of the packet that carries the token has to be
	// RetrySrcCID.
	// https://www.rfc-editor.org/rfc/rfc9000#section-7.3
	ODCID, RetrySrcCID wire.ConnID
	// Version is the QUIC version the NEW_TOKEN frame was sent in; 0 if Retry
	// is set.
	Version wire.Version
	// Issued is when the token was sealed.
	Issued mono.Time
}

// SealRetry returns the token of a Retry packet. It is the caller's.
//
// "Tokens sent in Retry packets SHOULD include information that allows the
// server to verify that the source IP address and port in client packets remain
// constant."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.4
func (k *Keyring) SealRetry(now mono.Time, addr netip.AddrPort, odcid, srcCID wire.ConnID) []byte {
	return k.seal(&body{
		token: Token{Retry: true, ODCID: odcid, RetrySrcCID: srcCID, Issued: now},
		addr:  addr,
	})
}

// SealNew returns a token for a NEW_TOKEN frame on a version 1 connection. It
// is the caller's.
func (k *Keyring) SealNew(now mono.Time, addr netip.Addr) []byte {
	return k.SealNewVersion(now, addr, wire.Version1)
}

// SealNewVersion returns a token for a NEW_TOKEN frame on a connection of
// version v, the negotiated one. It is the caller's.
//
// "Tokens sent in NEW_TOKEN frames MUST include information that allows the
// server to verify that the client IP address has not changed from when the
// token was issued."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.4
//
// "It is unlikely that the client port number is the same on two different
// connections; validating the port is therefore unlikely to be successful."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
func (k *Keyring) SealNewVersion(now mono.Time, addr netip.Addr, v wire.Version) []byte {
	return k.seal(&body{
		token: Token{Version: v, Issued: now},
		addr:  netip.AddrPortFrom(addr, 0),
	})
}

// seal encrypts p with the first key.
//
// "A server MUST ensure that every NEW_TOKEN frame it sends is unique across
// all clients": the nonce makes it so.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
func (k *Keyring) seal(p *body) []byte {
	plaintext := p.appendTo(k.scratch[:0])
	tok := make([]byte, nonceLen, nonceLen+len(plaintext)+tagLen)
	k.random(tok)
	tok, err := k.keys[0].seal(tok, tok, plaintext, nil)
	if err != nil {
		// Rotate has run the same algorithms with this key.
		panic(fmt.Sprintf("token: sealing: %v", err))
	}
	return tok
}

// Open checks a token that came in an Initial packet from addr. If the error is
// nil, the token validates addr, and a NEW_TOKEN token is used up: opening it
// again fails. Any other error than ErrForged comes with the token's contents,
// since an invalid token is handled by its kind:
//
// "If a server receives a client Initial that contains an invalid Retry token
// but is otherwise valid, it knows the client will not accept another Retry
// token. […] Instead, the server SHOULD immediately close (Section 10.2) the
// connection with an INVALID_TOKEN error."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.2
//
// "If the token is invalid, then the server SHOULD proceed as if the client did
// not have a validated address, including potentially sending a Retry packet."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
//
// The caller compares Token.Version with the version of the packet: "Servers
// MUST validate the originating version of any session ticket or token and not
// accept one issued from a different version."
// https://www.rfc-editor.org/rfc/rfc9369#section-5
func (k *Keyring) Open(now mono.Time, tok []byte, addr netip.AddrPort) (Token, error) {
	p, ok := k.unseal(tok)
	if !ok {
		return Token{}, ErrForged
	}
	lifetime := k.newMax
	if p.token.Retry {
		lifetime = k.retryMax
	}
	if age := now.Sub(p.token.Issued); age > lifetime || age < -ClockSkew {
		return p.token, ErrExpired
	}
	if p.addr.Addr() != plainAddr(addr.Addr()) {
		return p.token, ErrAddress
	}
	if p.token.Retry {
		// All Initial packets after a Retry carry its token, so that using it
		// once would break a client whose first one was lost. The short
		// lifetime and the port limit replays.
		if p.addr.Port() != addr.Port() {
			return p.token, ErrAddress
		}
		return p.token, nil
	}
	if !k.replay.use(p.token.Issued, [nonceLen]byte(tok)) {
		return p.token, ErrReplayed
	}
	return p.token, nil
}

// unseal finds the key a token was sealed with.
func (k *Keyring) unseal(tok []byte) (body, bool) {
	if len(tok) < minTokenLen || len(tok) > MaxLen {
		return body{}, false
	}
	for i := range k.keys {
		plaintext, err := k.keys[i].open(k.openScratch[:0], tok[:nonceLen], tok[nonceLen:], nil)
		if err == nil {
			return parseBody(plaintext)
		}
	}
	return body{}, false
}
