package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// Sizes of the AEAD, in bytes.
const (
	nonceLen = 24
	tagLen   = 16
)

// xaes is XAES-256-GCM: AES-256-GCM under a key derived from the first half of
// a 24-byte nonce. Plain GCM with random nonces must change keys after 2^32
// messages, which a server answering a flood with Retry packets reaches in
// hours; here the bound is 2^80.
// https://c2sp.org/XAES-256-GCM
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC subkey
}

func newXAES(key *Key) (xaes, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return xaes{}, err
	}
	x := xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	msb := 0
	for i := len(x.k1) - 1; i >= 0; i-- {
		next := int(x.k1[i] >> 7)
		x.k1[i] = x.k1[i]<<1 | byte(msb)
		msb = next
	}
	x.k1[len(x.k1)-1] ^= byte(0x87 * msb)
	return x, nil
}

// derive returns the AEAD for messages whose nonce begins with half, 12 bytes.
func (x *xaes) derive(half []byte) (cipher.AEAD, error) {
	m := append(make([]byte, 0, Size), 0, 1, 'X', 0)
	m = append(m, half...)
	m = append(m, 0, 2, 'X', 0)
	m = append(m, half...)
	for b := m; len(b) > 0; b = b[aes.BlockSize:] {
		subtle.XORBytes(b, b[:aes.BlockSize], x.k1[:])
		x.block.Encrypt(b, b)
	}
	block, err := aes.NewCipher(m)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal appends the ciphertext and tag of plaintext to dst.
func (x *xaes) seal(dst, nonce, plaintext, data []byte) ([]byte, error) {
	aead, err := x.derive(nonce[:nonceLen/2])
	if err != nil {
		return nil, err
	}
	return aead.Seal(dst, nonce[nonceLen/2:], plaintext, data), nil
}

// open appends the plaintext of ciphertext to dst.
func (x *xaes) open(dst, nonce, ciphertext, data []byte) ([]byte, error) {
	aead, err := x.derive(nonce[:nonceLen/2])
	if err != nil {
		return nil, err
	}
	return aead.Open(dst, nonce[nonceLen/2:], ciphertext, data)
}
