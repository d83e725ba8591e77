package protection

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"

	"github.com/pquic-go/pquic/core/wire"
)

// labels are the HKDF labels and constants that differ between versions.
type labels struct {
	initialSalt []byte
	key, iv     string
	hp, ku      string
	retryKey    []byte
	retryNonce  []byte
}

// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
// https://www.rfc-editor.org/rfc/rfc9001#section-5.2
// https://www.rfc-editor.org/rfc/rfc9001#section-5.8
var labelsV1 = labels{
	initialSalt: []byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"),
	key:         "quic key",
	iv:          "quic iv",
	hp:          "quic hp",
	ku:          "quic ku",
	retryKey:    []byte("\xbe\x0c\x69\x0b\x9f\x66\x57\x5a\x1d\x76\x6b\x54\xe3\x68\xc8\x4e"),
	retryNonce:  []byte("\x46\x15\x99\xd3\x5d\x63\x2b\xf2\x23\x98\x25\xbb"),
}

// https://www.rfc-editor.org/rfc/rfc9369#section-3.3
var labelsV2 = labels{
	initialSalt: []byte("\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"),
	key:         "quicv2 key",
	iv:          "quicv2 iv",
	hp:          "quicv2 hp",
	ku:          "quicv2 ku",
	retryKey:    []byte("\x8f\xb4\xb0\x1b\x56\xac\x48\xe2\x60\xfb\xcb\xce\xad\x7c\xcc\x92"),
	retryNonce:  []byte("\xd8\x69\x69\xbc\x2d\x7c\x6d\x99\x90\xef\xb0\x4a"),
}

// labelsFor returns the constants of v. Versions are negotiated before any key
// exists, so everything that is not version 2 is version 1.
func labelsFor(v wire.Version) *labels {
	if v == wire.Version2 {
		return &labelsV2
	}
	return &labelsV1
}

// maxHash and maxBlock are the sizes of SHA-384, the largest hash of a suite.
const (
	maxHash  = sha512.Size384
	maxBlock = sha512.BlockSize
)

// maxInfo bounds the message of an HMAC here: the info of expandLabel and one
// byte.
const maxInfo = 48

// mac is HMAC with a suite's hash, for a key no longer than the hash's block
// and a message of at most maxInfo bytes. Going through crypto/hmac and
// crypto/hkdf would make a handshake's 40 derivations allocate 30 kB at each
// end.
// https://www.rfc-editor.org/rfc/rfc2104#section-2
func (h hashInfo) mac(out *[maxHash]byte, key, msg []byte) {
	var inner, outer [maxBlock + max(maxInfo, maxHash)]byte
	copy(inner[:], key)
	copy(outer[:], key)
	for i := range h.block {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	n := h.block + copy(inner[h.block:], msg)
	h.sum(out, inner[:n])
	n = h.block + copy(outer[h.block:], out[:h.size])
	h.sum(out, outer[:n])
}

// sum is the hash. Behind a function value its arguments would escape.
func (h hashInfo) sum(out *[maxHash]byte, b []byte) {
	if h == hashSHA384 {
		*out = sha512.Sum384(b)
		return
	}
	s := sha256.Sum256(b)
	copy(out[:], s[:])
}

// expandLabel is HKDF-Expand-Label with an empty context; out is no longer than
// the hash, so that the first block of HKDF-Expand is all there is.
// https://www.rfc-editor.org/rfc/rfc8446#section-7.1
// https://www.rfc-editor.org/rfc/rfc5869#section-2.3
// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
func expandLabel(h hashInfo, out, secret []byte, label string) {
	const prefix = "tls13 "
	info := make([]byte, 0, maxInfo)
	info = binary.BigEndian.AppendUint16(info, uint16(len(out)))
	info = append(info, byte(len(prefix)+len(label)))
	info = append(info, prefix...)
	info = append(info, label...)
	info = append(info, 0) // context of length 0
	info = append(info, 1) // number of the block
	var block [maxHash]byte
	h.mac(&block, secret, info)
	copy(out, block[:h.size])
}

// InitialSecrets derives the secrets that protect Initial packets from the
// Destination Connection ID of the client's first Initial packet (after a
// Retry: of the first one that answers it). Both are to be used with
// tls.TLS_AES_128_GCM_SHA256. The slices are the caller's.
//
// "Initial packets apply the packet protection process, but use a secret
// derived from the Destination Connection ID field from the client's first
// Initial packet."
// https://www.rfc-editor.org/rfc/rfc9001#section-5.2
func InitialSecrets(v wire.Version, dst wire.ConnID) (client, server []byte) {
	// HKDF-Extract.
	// https://www.rfc-editor.org/rfc/rfc5869#section-2.2
	var id [wire.MaxConnIDLen]byte
	var initial [maxHash]byte
	hashSHA256.mac(&initial, labelsFor(v).initialSalt, dst.AppendTo(id[:0]))
	client, server = make([]byte, sha256.Size), make([]byte, sha256.Size)
	expandLabel(hashSHA256, client, initial[:sha256.Size], "client in")
	expandLabel(hashSHA256, server, initial[:sha256.Size], "server in")
	return client, server
}
