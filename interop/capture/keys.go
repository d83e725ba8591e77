package capture

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// The versions that can be read.
const (
	Version1 = 0x00000001
	Version2 = 0x6b3343cf
)

// A KeyLog holds TLS secrets in the format of SSLKEYLOGFILE, by label and client random.
type KeyLog map[string][]byte

// ReadKeyLog adds the secrets of a key log file; a file that is not there holds none.
func (k KeyLog) ReadKeyLog(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return k.read(f)
}

func (k KeyLog) read(r io.Reader) error {
	in := bufio.NewScanner(r)
	for in.Scan() {
		f := strings.Fields(in.Text())
		if len(f) != 3 || strings.HasPrefix(f[0], "#") {
			continue
		}
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			continue // a line that its writer has not finished
		}
		k[f[0]+" "+strings.ToLower(f[1])] = secret
	}
	return in.Err()
}

func (k KeyLog) secret(label string, random []byte) []byte {
	return k[label+" "+hex.EncodeToString(random)]
}

const (
	suiteAES128   = 0x1301
	suiteAES256   = 0x1302
	suiteChaCha20 = 0x1303
)

// keys are what protects one direction of one packet number space.
type keys struct {
	version uint32
	suite   uint16
	secret  []byte
	aead    cipher.AEAD
	iv      []byte
	mask    func(sample []byte) [5]byte
}

// newKeys derives keys from a TLS secret.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.1
// https://www.rfc-editor.org/rfc/rfc9369#section-3.3.2
func newKeys(version uint32, suite uint16, secret []byte) (*keys, error) {
	prefix := "quic "
	if version == Version2 {
		prefix = "quicv2 "
	}
	k := &keys{version: version, suite: suite, secret: secret}
	size := 32
	if suite == suiteAES128 {
		size = 16
	}
	key := expand(suite, secret, prefix+"key", size)
	hp := expand(suite, secret, prefix+"hp", size)
	k.iv = expand(suite, secret, prefix+"iv", 12)
	var err error
	if suite == suiteChaCha20 {
		k.aead, err = chacha20poly1305.New(key)
		k.mask = func(sample []byte) (m [5]byte) {
			c, err := chacha20.NewUnauthenticatedCipher(hp, sample[4:])
			if err == nil {
				c.SetCounter(binary.LittleEndian.Uint32(sample))
				c.XORKeyStream(m[:], m[:])
			}
			return m
		}
		return k, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	header, err := aes.NewCipher(hp)
	k.mask = func(sample []byte) (m [5]byte) {
		var out [16]byte
		header.Encrypt(out[:], sample)
		copy(m[:], out[:])
		return m
	}
	return k, err
}

// next are the keys after a key update; the header protection stays.
// https://www.rfc-editor.org/rfc/rfc9001#section-6
func (k *keys) next() (*keys, error) {
	label := "quic ku"
	if k.version == Version2 {
		label = "quicv2 ku"
	}
	n, err := newKeys(k.version, k.suite, expand(k.suite, k.secret, label, len(k.secret)))
	if err == nil {
		n.mask = k.mask
	}
	return n, err
}

func (k *keys) open(packet []byte, header int, pn uint64) ([]byte, error) {
	nonce := append([]byte(nil), k.iv...)
	for i := range 8 {
		nonce[4+i] ^= byte(pn >> (56 - 8*i))
	}
	return k.aead.Open(nil, nonce, packet[header:], packet[:header])
}

func hashOf(suite uint16) func() hash.Hash {
	if suite == suiteAES256 {
		return sha512.New384
	}
	return sha256.New
}

// expand is HKDF-Expand-Label without context.
func expand(suite uint16, secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	out, err := hkdf.Expand(hashOf(suite), secret, string(append(info, 0)), n)
	if err != nil {
		return make([]byte, n) // only for lengths that do not occur; opens nothing
	}
	return out
}

var initialSalts = map[uint32]string{
	Version1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
	Version2: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
}

// initialKeys are the keys of Initial packets.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.2
func initialKeys(version uint32, dcid []byte, side Side) (*keys, error) {
	salt, err := hex.DecodeString(initialSalts[version])
	if err != nil || len(salt) == 0 {
		return nil, errors.New("capture: unknown version")
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return nil, err
	}
	label := "client in"
	if side == Server {
		label = "server in"
	}
	return newKeys(version, suiteAES128, expand(suiteAES128, secret, label, 32))
}
