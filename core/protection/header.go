package protection

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

// sampleLen is the length of the ciphertext sample header protection is
// derived from, in bytes.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.2
const sampleLen = 16

// maxPacketNumberLen is the longest encoding of a packet number, in bytes.
const maxPacketNumberLen = 4

// MinProtectedLen is the least number of bytes a packet must have from its
// packet number on, tag included, for the header-protection sample to exist.
//
// "in sampling packet ciphertext for header protection, the Packet Number
// field is assumed to be 4 bytes long"
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.2
const MinProtectedLen = maxPacketNumberLen + sampleLen

// Bits of the first byte that header protection covers, and the two of them
// that tell the length of the packet number.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.1
const (
	longHeaderForm  = 0x80
	longHeaderMask  = 0x0f
	shortHeaderMask = 0x1f
	pnLenMask       = 0x03
)

// headerKey makes header-protection masks. It outlives key updates.
type headerKey struct {
	block  cipher.Block // AES suites; nil for ChaCha20, and at rest
	mask   [aes.BlockSize]byte
	key    [chacha20.KeySize]byte
	keyLen uint8
	chacha bool
}

func newHeaderKey(s Suite, key []byte) (headerKey, error) {
	h := headerKey{keyLen: uint8(len(key)), chacha: isChaCha20(s)}
	copy(h.key[:], key)
	return h, h.wake()
}

// wake expands the key; rest undoes that.
func (h *headerKey) wake() (err error) {
	if !h.chacha {
		h.block, err = aes.NewCipher(h.key[:h.keyLen])
	}
	return err
}

func (h *headerKey) rest() { h.block = nil }

// setMask leaves in h.mask[:5] the mask for a sample of sampleLen bytes.
func (h *headerKey) setMask(sample []byte) {
	if h.block == nil {
		if h.chacha {
			h.setChaCha20Mask(sample)
			return
		}
		if err := h.wake(); err != nil {
			panic(err) // it was made before
		}
	}
	// mask = AES-ECB(hp_key, sample)
	// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.3
	h.block.Encrypt(h.mask[:], sample)
}

// setChaCha20Mask takes the block counter from the first four bytes of the
// sample and the nonce from the other twelve.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.4
func (h *headerKey) setChaCha20Mask(sample []byte) {
	c, err := chacha20.NewUnauthenticatedCipher(h.key[:], sample[4:sampleLen])
	if err != nil {
		panic(err) // key and nonce lengths are constants
	}
	c.SetCounter(binary.LittleEndian.Uint32(sample))
	mask := h.mask[:1+maxPacketNumberLen]
	clear(mask)
	c.XORKeyStream(mask, mask)
}

// protectedBits returns which bits of a first byte are masked. Header form is
// not protected, so it can be asked before and after.
func protectedBits(first byte) byte {
	if first&longHeaderForm != 0 {
		return longHeaderMask
	}
	return shortHeaderMask
}
