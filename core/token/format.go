package token

import (
	"encoding/binary"
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// A token is a nonce of 24 bytes, then this body, encrypted, then a tag of 16:
//
//	kind     1 byte   1 Retry, 2 NEW_TOKEN
//	issued   8 bytes  mono.Time
//	address 16 bytes  IPv6, or IPv4 mapped into it; zones are not kept
//	Retry:
//	  port   2 bytes
//	  length 1 byte, original Destination Connection ID
//	  length 1 byte, Source Connection ID of the Retry packet
//	NEW_TOKEN:
//	  version 4 bytes
//
// "A token sent in a NEW_TOKEN frame or a Retry packet MUST be constructed in a
// way that allows the server to identify how it was provided to a client."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.1
const (
	kindRetry = 1
	kindNew   = 2

	commonLen    = 1 + 8 + 16
	newBodyLen   = commonLen + 4
	minRetryBody = commonLen + 2 + 1 + 1
	maxBodyLen   = minRetryBody + 2*wire.MaxConnIDLen

	minTokenLen = nonceLen + min(newBodyLen, minRetryBody) + tagLen
)

// MaxLen is the length in bytes of the longest token a Keyring makes.
const MaxLen = nonceLen + maxBodyLen + tagLen

// body is the plaintext of a token.
type body struct {
	token Token
	addr  netip.AddrPort // port 0 in a NEW_TOKEN token
}

func (p *body) appendTo(b []byte) []byte {
	kind := byte(kindNew)
	if p.token.Retry {
		kind = kindRetry
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(p.token.Issued))
	addr := p.addr.Addr().As16()
	b = append(b, addr[:]...)
	if !p.token.Retry {
		return binary.BigEndian.AppendUint32(b, uint32(p.token.Version))
	}
	b = binary.BigEndian.AppendUint16(b, p.addr.Port())
	b = append(b, byte(p.token.ODCID.Len()))
	b = p.token.ODCID.AppendTo(b)
	b = append(b, byte(p.token.RetrySrcCID.Len()))
	return p.token.RetrySrcCID.AppendTo(b)
}

// parseBody undoes appendTo. The bytes are authentic, but perhaps those of a
// program that is not this one and was given the same key.
func parseBody(b []byte) (p body, ok bool) {
	if len(b) < commonLen {
		return p, false
	}
	kind, rest := b[0], b[commonLen:]
	p.token.Issued = mono.Time(binary.BigEndian.Uint64(b[1:]))
	addr := netip.AddrFrom16([16]byte(b[9:commonLen])).Unmap()
	switch kind {
	case kindNew:
		if len(rest) != 4 {
			return p, false
		}
		p.token.Version = wire.Version(binary.BigEndian.Uint32(rest))
		p.addr = netip.AddrPortFrom(addr, 0)
		return p, true
	case kindRetry:
		if len(rest) < 2 {
			return p, false
		}
		p.token.Retry = true
		p.addr = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(rest))
		rest = rest[2:]
		if p.token.ODCID, rest, ok = cutConnID(rest); !ok {
			return p, false
		}
		p.token.RetrySrcCID, rest, ok = cutConnID(rest)
		return p, ok && len(rest) == 0
	}
	return p, false
}

// cutConnID reads a connection ID preceded by its length.
func cutConnID(b []byte) (id wire.ConnID, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return id, nil, false
	}
	n := int(b[0])
	id, ok = wire.MakeConnID(b[1 : 1+n])
	return id, b[1+n:], ok
}

// plainAddr returns addr the way a token keeps it.
func plainAddr(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
