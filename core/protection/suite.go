package protection

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Suite is a TLS 1.3 cipher suite as crypto/tls numbers it, for example
// tls.TLS_AES_128_GCM_SHA256.
// https://www.rfc-editor.org/rfc/rfc8446#appendix-B.4
type Suite = uint16

// Overhead is how many bytes sealing adds to a packet: the authentication tag.
//
// "All cipher suites currently defined for TLS 1.3 -- and therefore QUIC --
// have a 16-byte authentication tag and produce an output 16 bytes larger than
// their input."
// https://www.rfc-editor.org/rfc/rfc9001#section-5.3
const Overhead = 16

// Errors the constructors wrap.
var (
	// ErrSuite reports a cipher suite that cannot protect QUIC packets.
	ErrSuite = errors.New("unsupported cipher suite")
	// ErrSecret reports a traffic secret whose length is not that of the
	// suite's hash.
	ErrSecret = errors.New("traffic secret of wrong length")
)

// hashInfo is a suite's hash.
type hashInfo struct {
	size, block int // bytes; size is also the length of traffic secrets
}

var (
	hashSHA256 = hashInfo{sha256.Size, sha256.BlockSize}
	hashSHA384 = hashInfo{sha512.Size384, sha512.BlockSize}
)

// suiteInfo is what the key schedule needs to know about a suite.
type suiteInfo struct {
	hash   hashInfo
	keyLen int // length of AEAD and header-protection keys, bytes
	aead   func(key []byte) (cipher.AEAD, error)
}

// maxKey is the longest key of a suite, bytes.
const maxKey = chacha20poly1305.KeySize

func lookupSuite(s Suite) (suiteInfo, error) {
	switch s {
	case tls.TLS_AES_128_GCM_SHA256:
		return suiteInfo{hashSHA256, 16, newGCM}, nil
	case tls.TLS_AES_256_GCM_SHA384:
		return suiteInfo{hashSHA384, 32, newGCM}, nil
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return suiteInfo{hashSHA256, chacha20poly1305.KeySize, chacha20poly1305.New}, nil
	}
	return suiteInfo{}, fmt.Errorf("protection: %w 0x%04x", ErrSuite, s)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// ConfidentialityLimit returns how many packets may be sealed with one set of
// keys; math.MaxUint64 if no connection can reach the limit. It returns 0 for
// a suite this package does not know. The count, and the key update that must
// come before it is reached, are the caller's.
//
// "For AEAD_AES_128_GCM and AEAD_AES_256_GCM, the confidentiality limit is
// 2^23 encrypted packets […]. For AEAD_CHACHA20_POLY1305, the confidentiality
// limit is greater than the number of possible packets (2^62) and so can be
// disregarded."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
//
// The GCM value holds for packets of up to 2^16 bytes, hence for every UDP
// datagram.
// https://www.rfc-editor.org/rfc/rfc9001#appendix-B.1.1
func ConfidentialityLimit(s Suite) uint64 {
	switch s {
	case tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384:
		return 1 << 23
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return math.MaxUint64
	}
	return 0
}

// IntegrityLimit returns how many packets may fail authentication in the
// lifetime of a connection, across all its keys, before it must be closed with
// AEAD_LIMIT_REACHED. It returns 0 for a suite this package does not know.
//
// "For AEAD_AES_128_GCM and AEAD_AES_256_GCM, the integrity limit is 2^52
// invalid packets […]. For AEAD_CHACHA20_POLY1305, the integrity limit is 2^36
// invalid packets"
// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
func IntegrityLimit(s Suite) uint64 {
	switch s {
	case tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384:
		return 1 << 52
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		return 1 << 36
	}
	return 0
}
