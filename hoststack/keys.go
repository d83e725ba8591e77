package hoststack

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/pquic-go/pquic/core/token"
)

// Keys are the secrets that let a server, or another one in its place, know
// its own tokens, session tickets and connection IDs again.
type Keys struct {
	// Secrets: the first seals tokens and tickets, all open them. To rotate on
	// several machines, first add the new one behind the old everywhere, then
	// put it first; keep the old one as long as its tokens live.
	Secrets []token.Key

	// Reset derives stateless reset tokens. It cannot be rotated while
	// connections are alive. The zero key means the first secret.
	// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
	Reset token.Key
}

var errNoKeys = errors.New("hoststack: Keys.Secrets must hold at least one secret")

// randomKeys returns keys that are forgotten with the process.
func randomKeys() *Keys {
	k := &Keys{Secrets: make([]token.Key, 1)}
	random(k.Secrets[0][:])
	return k
}

// resetKey returns the key of stateless reset tokens.
func (k *Keys) resetKey() token.Key {
	if k.Reset != (token.Key{}) {
		return k.Reset
	}
	return k.Secrets[0]
}

// setTickets gives cfg the session ticket keys derived from the secrets. Every
// connection has a copy of cfg, so keys that crypto/tls made for itself would
// not outlive the connection.
func (k *Keys) setTickets(cfg *tls.Config) error {
	if len(k.Secrets) == 0 {
		return errNoKeys
	}
	keys := make([][32]byte, len(k.Secrets))
	for i, s := range k.Secrets {
		b, err := hkdf.Key(sha256.New, s[:], nil, "pquic session tickets", len(keys[i]))
		if err != nil {
			return fmt.Errorf("hoststack: ticket key: %w", err)
		}
		copy(keys[i][:], b)
	}
	cfg.SetSessionTicketKeys(keys)
	return nil
}

// RotateKeys replaces the secrets of a running server: from now on the first
// seals, all open. Keys.Reset is not looked at.
func (t *Transport) RotateKeys(secrets []token.Key) error {
	k := Keys{Secrets: secrets}
	if len(secrets) == 0 {
		return errNoKeys
	}
	if err := k.setTickets(t.cfg.TLS); err != nil {
		return err
	}
	var err error
	for _, w := range t.workers {
		w.do(func() {
			if w.tokens != nil && err == nil {
				err = w.tokens.Rotate(secrets)
			}
		})
	}
	return err
}
