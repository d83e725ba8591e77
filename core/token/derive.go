package token

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/pquic-go/pquic/core/wire"
)

// Labels separate the uses of a Key. A change of the token format changes
// labelAddress, so that tokens of another format are forged ones.
const (
	labelAddress = "pquic address validation token, format 1"
	labelTicket  = "pquic TLS session ticket key, format 1"
	labelReset   = "pquic stateless reset token"
)

func deriveKey(key *Key, label string) (Key, error) {
	b, err := hkdf.Expand(sha256.New, key[:], label, Size)
	if err != nil {
		return Key{}, err
	}
	return Key(b), nil
}

// TicketKeys derives the keys of TLS session tickets from those of a Keyring,
// in the same order, for [crypto/tls.Config.SetSessionTicketKeys]: the first
// encrypts, all decrypt. So tickets are shared between machines and rotated
// exactly as tokens are. Call it again whenever the keys rotate; crypto/tls
// stops rotating ticket keys by itself once it was given some.
func TicketKeys(keys []Key) [][32]byte {
	tickets := make([][32]byte, len(keys))
	for i := range keys {
		var err error
		if tickets[i], err = deriveKey(&keys[i], labelTicket); err != nil {
			panic(fmt.Sprintf("token: ticket key: %v", err)) // lengths are constants
		}
	}
	return tickets
}

// StatelessResetToken derives the stateless reset token of a connection ID this
// endpoint issued. Whoever has the key can compute it again from the connection
// ID alone, after a restart or on another machine.
//
// "Revealing the stateless reset token allows any entity to terminate the
// connection, so a value can only be used once. […] the combination of
// connection ID and static key MUST NOT be used for another connection."
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.2
//
// Tokens of a peer are to be compared in constant time.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func StatelessResetToken(key Key, cid wire.ConnID) [16]byte {
	mac := hmac.New(sha256.New, key[:])
	msg := append(make([]byte, 0, len(labelReset)+wire.MaxConnIDLen), labelReset...)
	mac.Write(cid.AppendTo(msg))
	var sum [sha256.Size]byte
	return [16]byte(mac.Sum(sum[:0]))
}
