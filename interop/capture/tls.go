package capture

import (
	"bytes"
	"crypto/sha256"
)

// A cryptoStream puts CRYPTO frames together.
type cryptoStream struct {
	segments map[uint64][]byte
	data     []byte // contiguous from 0
	parsed   int
	highest  uint64
}

func (s *cryptoStream) add(offset uint64, data []byte) {
	if s.segments == nil {
		s.segments = make(map[uint64][]byte)
	}
	end := offset + uint64(len(data))
	s.highest = max(s.highest, end)
	if old, ok := s.segments[offset]; !ok || len(old) < len(data) {
		s.segments[offset] = append([]byte(nil), data...)
	}
	for grown := true; grown; {
		grown = false
		for off, d := range s.segments {
			have := uint64(len(s.data))
			if off <= have && off+uint64(len(d)) > have {
				s.data = append(s.data, d[have-off:]...)
				grown = true
			}
			if off+uint64(len(d)) <= uint64(len(s.data)) {
				delete(s.segments, off)
			}
		}
	}
}

// message returns the next complete handshake message.
func (s *cryptoStream) message() (kind byte, body []byte, ok bool) {
	b := s.data[s.parsed:]
	if len(b) < 4 {
		return 0, nil, false
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if len(b) < 4+n {
		return 0, nil, false
	}
	s.parsed += 4 + n
	return b[0], b[4 : 4+n], true
}

const (
	messageClientHello         = 1
	messageServerHello         = 2
	messageEncryptedExtensions = 8
	messageCertificate         = 11

	extensionPreSharedKey  = 41
	extensionEarlyData     = 42
	extensionQUICParameter = 57
)

// extensions reads a list of TLS extensions.
func extensions(r *reader) map[uint64][]byte {
	out := make(map[uint64][]byte)
	list := &reader{b: r.bytes(r.uint(2))}
	for len(list.b) > 0 && !list.bad {
		kind := list.uint(2)
		out[kind] = list.bytes(list.uint(2))
	}
	return out
}

// handshakeMessage takes from a TLS message what tests ask about.
func (c *Conn) handshakeMessage(side Side, kind byte, body []byte) {
	r := &reader{b: body}
	switch {
	case side == Client && kind == messageClientHello:
		r.bytes(2)
		c.random = bytes.Clone(r.bytes(32))
		r.bytes(r.uint(1))
		c.OfferedSuites = nil
		for suites := (&reader{b: r.bytes(r.uint(2))}); len(suites.b) > 0 && !suites.bad; {
			c.OfferedSuites = append(c.OfferedSuites, uint16(suites.uint(2)))
		}
		r.bytes(r.uint(1))
		e := extensions(r)
		_, c.OfferedPSK = e[extensionPreSharedKey]
		c.parameters(Client, e[extensionQUICParameter])
	case side == Server && kind == messageServerHello:
		r.bytes(2)
		random := r.bytes(32)
		r.bytes(r.uint(1))
		suite := uint16(r.uint(2))
		if retry := sha256.Sum256([]byte("HelloRetryRequest")); bytes.Equal(random, retry[:]) {
			return
		}
		c.Suite = suite
		r.bytes(1)
		_, c.AcceptedPSK = extensions(r)[extensionPreSharedKey]
	case side == Server && kind == messageEncryptedExtensions:
		e := extensions(r)
		_, c.AcceptedEarlyData = e[extensionEarlyData]
		c.parameters(Server, e[extensionQUICParameter])
	case side == Server && kind == messageCertificate:
		c.CertificateSent = true
	}
}

// parameters reads transport parameters.
func (c *Conn) parameters(side Side, b []byte) {
	if b == nil {
		return
	}
	c.Parameters[side] = make(map[uint64][]byte)
	for r := (&reader{b: b}); len(r.b) > 0 && !r.bad; {
		id := r.varint()
		c.Parameters[side][id] = bytes.Clone(r.bytes(r.varint()))
	}
}

// IntParameter returns a transport parameter that is an integer.
func (c *Conn) IntParameter(side Side, id uint64) (v uint64, ok bool) {
	b, ok := c.Parameters[side][id]
	if !ok {
		return 0, false
	}
	return (&reader{b: b}).varint(), true
}
