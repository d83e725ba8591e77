package protection

import (
	"crypto/cipher"
	"crypto/subtle"
	"fmt"

	"github.com/pquic-go/pquic/core/wire"
)

// retryIntegrity is the AEAD of Retry packets with its fixed nonce. The key is
// fixed too, so the key schedule is computed once for the program and not for
// each packet: Retry is what a server under attack does most.
type retryIntegrity struct {
	aead  cipher.AEAD
	nonce []byte
	err   error
}

var (
	retryV1 = newRetryIntegrity(&labelsV1)
	retryV2 = newRetryIntegrity(&labelsV2)
)

func newRetryIntegrity(l *labels) retryIntegrity {
	aead, err := newGCM(l.retryKey)
	return retryIntegrity{aead, l.retryNonce, err}
}

// RetryTag computes the integrity tag that ends a Retry packet. odcid is the
// Destination Connection ID of the Initial packet it answers,
// retryWithoutTag the packet up to the tag.
//
// "The Retry Integrity Tag is a 128-bit field that is computed as the output of
// AEAD_AES_128_GCM" over an empty plaintext, with the Retry Pseudo-Packet as
// associated data.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.8
func RetryTag(v wire.Version, odcid wire.ConnID, retryWithoutTag []byte) [16]byte {
	r := &retryV1
	if v == wire.Version2 {
		r = &retryV2
	}
	if r.err != nil {
		// Only FIPS 140-only mode refuses, in which no Sealer exists either.
		panic(fmt.Sprintf("protection: Retry integrity: %v", r.err))
	}
	pseudo := make([]byte, 0, 1+20+len(retryWithoutTag))
	pseudo = append(pseudo, byte(odcid.Len()))
	pseudo = odcid.AppendTo(pseudo)
	pseudo = append(pseudo, retryWithoutTag...)
	return [16]byte(r.aead.Seal(nil, r.nonce, nil, pseudo))
}

// VerifyRetryTag reports whether a whole Retry packet ends with the tag that
// belongs to it and to odcid, the Destination Connection ID the client sent.
//
// "Clients MUST discard Retry packets that have a Retry Integrity Tag that
// cannot be validated"
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5.2
func VerifyRetryTag(v wire.Version, odcid wire.ConnID, retry []byte) bool {
	n := len(retry) - Overhead
	if n < 1 {
		return false
	}
	want := RetryTag(v, odcid, retry[:n])
	return subtle.ConstantTimeCompare(want[:], retry[n:]) == 1
}
