package protection

import (
	"crypto/cipher"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pquic-go/pquic/core/wire"
)

// ErrAuth reports a packet that is not authentic under the key it was opened
// with. It counts against [IntegrityLimit].
var ErrAuth = errors.New("protection: packet authentication failed")

const nonceLen = 12

// keys are the packet-protection keys of one direction and key phase.
type keys struct {
	aead  cipher.AEAD    // nil at rest
	nonce [nonceLen]byte // scratch for the packet at hand
	iv0   uint32         // first four bytes of the IV
	iv1   uint64         // other eight

	header headerKey

	suite   Suite
	version wire.Version
	// Traffic secret of the suite's length, kept for the next key phase.
	secret [sha512.Size384]byte
}

func isChaCha20(s Suite) bool { return s == tls.TLS_CHACHA20_POLY1305_SHA256 }

// init derives key, IV and header-protection key from a traffic secret.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
func (k *keys) init(v wire.Version, suite Suite, secret []byte) error {
	info, err := lookupSuite(suite)
	if err != nil {
		return err
	}
	if err := k.setSecret(v, suite, info, secret); err != nil {
		return err
	}
	var hp [maxKey]byte
	expandLabel(info.hash, hp[:info.keyLen], secret, labelsFor(v).hp)
	if k.header, err = newHeaderKey(suite, hp[:info.keyLen]); err != nil {
		return fmt.Errorf("protection: %w", err)
	}
	return nil
}

// setSecret derives everything but the header-protection key.
func (k *keys) setSecret(v wire.Version, suite Suite, info suiteInfo, secret []byte) error {
	if len(secret) != info.hash.size {
		return fmt.Errorf("protection: %w: %d bytes", ErrSecret, len(secret))
	}
	l := labelsFor(v)
	var key [maxKey]byte
	var iv [nonceLen]byte
	expandLabel(info.hash, key[:info.keyLen], secret, l.key)
	expandLabel(info.hash, iv[:], secret, l.iv)
	aead, err := info.aead(key[:info.keyLen])
	if err != nil {
		return fmt.Errorf("protection: %w", err)
	}
	k.aead = aead
	k.iv0 = binary.BigEndian.Uint32(iv[:4])
	k.iv1 = binary.BigEndian.Uint64(iv[4:])
	k.version, k.suite = v, suite
	copy(k.secret[:], secret)
	return nil
}

// rest gives back what can be derived anew from the secret: the expanded keys,
// most of what k holds.
func (k *keys) rest() {
	k.aead = nil
	k.header.rest()
}

// wake undoes rest, as far as sealing and opening need.
func (k *keys) wake() {
	info, err := lookupSuite(k.suite)
	if err == nil {
		err = k.setSecret(k.version, k.suite, info, k.secret[:info.hash.size])
	}
	if err != nil {
		panic(err) // the same derivation succeeded before
	}
}

// follow sets k to the keys that follow old's, at rest.
//
// "The header protection key is not updated."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.1
func (k *keys) follow(old *keys) {
	info, err := lookupSuite(old.suite)
	if err != nil {
		panic(err) // it was known when old was made
	}
	k.header, k.suite, k.version = old.header, old.suite, old.version
	expandLabel(info.hash, k.secret[:info.hash.size], old.secret[:info.hash.size], labelsFor(old.version).ku)
}

// setNonce computes the nonce of a packet: the IV exclusive-or the 96 bits
// formed by path ID and packet number. Outside of the multipath extension the
// path ID is 0, which makes this the nonce of RFC 9001.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.3
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-multipath#section-2.4
func (k *keys) setNonce(pathID uint32, pn uint64) []byte {
	binary.BigEndian.PutUint32(k.nonce[:4], k.iv0^pathID)
	binary.BigEndian.PutUint64(k.nonce[4:], k.iv1^pn)
	return k.nonce[:]
}

// A Sealer protects the packets of one direction and key phase. It must not be
// copied or used concurrently.
type Sealer struct{ keys keys }

// NewSealer derives a Sealer from a traffic secret of crypto/tls or
// [InitialSecrets]. It copies the secret. Errors wrap [ErrSuite] or
// [ErrSecret].
// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
func NewSealer(v wire.Version, suite Suite, secret []byte) (*Sealer, error) {
	s := new(Sealer)
	if err := s.keys.init(v, suite, secret); err != nil {
		return nil, err
	}
	return s, nil
}

// Overhead returns how many bytes Seal needs behind the plaintext: 16.
func (s *Sealer) Overhead() int { return Overhead }

// Suite returns the cipher suite, to look up its limits.
func (s *Sealer) Suite() Suite { return s.keys.suite }

// Seal protects one packet in place. pkt is the whole packet: a header of
// pnOff+pnLen bytes that ends with the packet number truncated to pnLen bytes
// (1..4), the plaintext, and [Overhead] bytes of room that need not be set.
// The header's first byte must already tell pnLen. pathID is 0 unless the
// multipath extension is negotiated and the packet is a 1-RTT packet.
//
// A packet must be padded so that pnLen plus the plaintext are at least four
// bytes; Seal panics if the sample does not exist. It allocates nothing.
//
// "A QUIC endpoint MUST NOT reuse a packet number within the same packet
// number space in one connection." That is the caller's to obey: two packets
// under one nonce give the plaintext and the authentication key away.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
// https://www.rfc-editor.org/rfc/rfc9001#section-5.3
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4
func (s *Sealer) Seal(pkt []byte, pnOff, pnLen int, pathID uint32, pn uint64) {
	k := &s.keys
	end := pnOff + pnLen
	// The sample is needed last but checked first, so that a caller's mistake
	// leaves no half-protected packet behind; checked against the length, since
	// the capacity of a transmit buffer would hide the mistake.
	_ = pkt[pnOff+MinProtectedLen-1]
	sample := pkt[pnOff+maxPacketNumberLen : pnOff+MinProtectedLen]
	plaintext := pkt[end : len(pkt)-Overhead]
	if k.aead == nil {
		k.wake()
	}
	k.aead.Seal(plaintext[:0], k.setNonce(pathID, pn), plaintext, pkt[:end])

	k.header.setMask(sample)
	pkt[0] ^= k.header.mask[0] & protectedBits(pkt[0])
	number := pkt[pnOff:end]
	for i := range number {
		number[i] ^= k.header.mask[1+i]
	}
}

// Update returns the Sealer of the next key phase; s stays usable. The count
// for [ConfidentialityLimit] starts anew.
// https://www.rfc-editor.org/rfc/rfc9001#section-6.1
func (s *Sealer) Update() *Sealer {
	next := new(Sealer)
	next.keys.follow(&s.keys)
	next.keys.wake()
	return next
}

// Rest makes s as small as it gets, for a connection that will not send for a
// while. The next Seal expands the keys again, which takes some microseconds.
func (s *Sealer) Rest() { s.keys.rest() }

// An Opener removes the protection from packets of one direction and key
// phase. It must not be copied or used concurrently.
type Opener struct{ keys keys }

// NewOpener derives an Opener from a traffic secret; see [NewSealer].
// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
func NewOpener(v wire.Version, suite Suite, secret []byte) (*Opener, error) {
	o := new(Opener)
	if err := o.keys.init(v, suite, secret); err != nil {
		return nil, err
	}
	return o, nil
}

// Suite returns the cipher suite, to look up its limits.
func (o *Opener) Suite() Suite { return o.keys.suite }

// Unmask removes header protection in place: from the first byte and the
// packet number at pnOff, whose length (1..4) and truncated value it returns.
// pkt is one whole packet, without those coalesced behind it. A packet too
// short to be sampled is left untouched and reported by ok == false; it can
// only be dropped (or be a stateless reset).
//
// "An endpoint MUST discard packets that are not long enough to contain a
// complete sample."
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.2
//
// What Unmask reveals is not authentic before Open succeeds. The
// header-protection key is the same in all key phases, so the Key Phase bit may
// be read now to choose the Opener. Call it once per packet: a second call
// protects the header again.
func (o *Opener) Unmask(pkt []byte, pnOff int) (pnLen int, truncated uint64, ok bool) {
	if pnOff < 1 || len(pkt)-MinProtectedLen < pnOff {
		return 0, 0, false
	}
	h := &o.keys.header
	h.setMask(pkt[pnOff+maxPacketNumberLen : pnOff+MinProtectedLen])
	pkt[0] ^= h.mask[0] & protectedBits(pkt[0])
	pnLen = int(pkt[0]&pnLenMask) + 1
	number := pkt[pnOff : pnOff+pnLen]
	for i := range number {
		number[i] ^= h.mask[1+i]
		truncated = truncated<<8 | uint64(number[i])
	}
	return pnLen, truncated, true
}

// Open decrypts in place a packet that Unmask has treated and returns its
// payload, a view of pkt. pn is the reconstructed packet number, pathID the
// path the packet's connection ID belongs to (0 outside of multipath). The only
// error is [ErrAuth]; the payload's bytes are then lost, but never the last
// [Overhead] bytes of pkt, which a stateless reset is recognised by. It
// allocates nothing.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.3
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func (o *Opener) Open(pkt []byte, pnOff, pnLen int, pathID uint32, pn uint64) (payload []byte, err error) {
	end := pnOff + pnLen
	if pnOff < 0 || pnLen < 0 || len(pkt)-Overhead < end {
		return nil, ErrAuth
	}
	k := &o.keys
	if k.aead == nil {
		k.wake()
	}
	ciphertext := pkt[end:]
	payload, err = k.aead.Open(ciphertext[:0], k.setNonce(pathID, pn), ciphertext, pkt[:end])
	if err != nil {
		return nil, ErrAuth
	}
	return payload, nil
}

// Rest makes o as small as it gets, for a connection that will not receive for
// a while. The next packet expands the keys again, which takes some
// microseconds; Wake does so ahead of it.
func (o *Opener) Rest() { o.keys.rest() }

// Resting reports whether the keys have to be expanded for the next packet.
func (o *Opener) Resting() bool { return o.keys.aead == nil }

// Wake undoes Rest.
func (o *Opener) Wake() {
	if o.Resting() {
		o.keys.wake()
	}
}

// Update returns the Opener of the next key phase; o stays usable for packets
// that were delayed. It is at rest: see Wake.
//
// Wake it ahead of need, not while a packet waits: "The process of creating new
// packet protection keys for receiving packets could reveal that a key update
// has occurred."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.3
func (o *Opener) Update() *Opener {
	next := new(Opener)
	next.keys.follow(&o.keys)
	return next
}
