package core

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// A connection that has been silent for restAfter gives back the memory it can
// do without: rings of sent packets, expanded keys, what is left of TLS. A
// server holds ten thousand idle connections in a third of what they take when
// they talk. The next packet costs some microseconds more.
const (
	restAfter = time.Second
	// ticketPatience is how long a client whose sessions are kept waits for a
	// ticket before it takes none any more.
	ticketPatience = 10 * time.Second
)

func (c *Conn) armRest(now mono.Time) {
	if c.v.HandshakeConfirmed != 0 {
		c.timers[timerRest] = now.Add(restAfter)
	}
}

// rest gives memory back. It changes nothing that anybody could see.
func (c *Conn) rest() {
	for _, p := range c.paths {
		if p.space.sent.AckElicitingInFlight > 0 {
			return // what comes next arms the timer again
		}
	}
	c.restTLS()
	for _, p := range c.paths {
		p.space.sent.ForgetLostBefore(c.now.Add(-3 * p.RTT.PTO(p.MaxAckDelay)))
		p.space.sent.Trim()
		p.space.received.Trim()
	}
	if c.ops == &unattached {
		// Nobody looks at the views of spaces that are no more; plugins may.
		c.initial, c.hs = &c.endpoint.past[initialSpace], &c.endpoint.past[handshakeSpace]
	}
	if len(c.streams.byID) == 0 {
		c.streams.byID, c.streams.last = nil, nil
	}
	if k := &c.keys[level1RTT]; k.seal != nil && k.open != nil && c.keyUpdate.prev == nil {
		k.seal.Rest()
		k.open.Rest()
		c.keyUpdate.next.Rest()
	}
}

// restTLS drops TLS if no ticket is expected any more, and with it the CRYPTO
// stream if nothing is left in it.
func (c *Conn) restTLS() {
	if c.tls.conn != nil {
		if patience := c.v.ConfirmedTime.Add(ticketPatience); !c.tls.stored && c.now.Before(patience) {
			c.timers[timerRest] = patience
			return
		}
		c.releaseTLS()
	}
	s := c.crypto[appSpace]
	if s != nil && s.sendFIFO.Len() == 0 && s.recvFIFO.Len() == 0 && s.recv.HeldBytes == 0 {
		c.crypto[appSpace] = nil // Conn.cryptoStream makes another at c.tls.read
	}
}

// shed drops what a connection that has ended does not need to answer late
// packets with CONNECTION_CLOSE: servers whose connections are short hold many
// of those. It runs between events, when nothing points at what goes.
func (c *Conn) shed() {
	c.releaseTLS()
	c.crypto = [numSpaces]*cryptoStream{}
	c.pending = nil
	for _, p := range c.paths {
		p.space.shed()
	}
	if c.initial != &c.endpoint.past[initialSpace] {
		c.initial.shed()
		c.hs.shed()
	}
}

// shed forgets what was sent, but not what the lengths of packet numbers
// depend on.
func (s *numberSpace) shed() {
	largest, has := s.sent.LargestAcked, s.sent.HasAcked
	s.sent.Discard()
	s.sent.LargestAcked, s.sent.HasAcked = largest, has
}

// releaseTLS drops crypto/tls's connection. What may still arrive needs no
// answer, only a check that it is allowed: postHandshake.
func (c *Conn) releaseTLS() {
	if c.tls.conn != nil {
		c.tls.conn.Close()
		if !c.tls.busy { // else it was the application, called back, that closed the connection
			c.tls.conn = nil
		}
	}
}

// postHandshake follows the messages in 1-RTT CRYPTO frames. A client may get
// NewSessionTicket messages only, a server nothing at all.
//
// "Endpoints MUST NOT send a TLS KeyUpdate message. Endpoints MUST treat the
// receipt of a TLS KeyUpdate message as a connection error of type 0x010a,
// equivalent to a fatal TLS alert of unexpected_message".
// https://www.rfc-editor.org/rfc/rfc9001#section-6
func (t *tlsState) postHandshake(server bool, b []byte) *TransportError {
	const newSessionTicket, unexpectedMessage = 4, 10
	for len(b) > 0 {
		if t.remaining > 0 {
			n := min(t.remaining, len(b))
			t.remaining, b = t.remaining-n, b[n:]
			continue
		}
		t.head[t.headLen] = b[0]
		t.headLen, b = t.headLen+1, b[1:]
		if server || t.head[0] != newSessionTicket {
			return violation(cryptoErrorBase+unexpectedMessage, wire.Crypto, "TLS message of type %d after the handshake", t.head[0])
		}
		if t.headLen == len(t.head) {
			t.headLen = 0
			t.remaining = int(t.head[1])<<16 | int(t.head[2])<<8 | int(t.head[3])
		}
	}
	return nil
}
