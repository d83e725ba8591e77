package core

import (
	"slices"

	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// receiveVersionNegotiation reacts to a Version Negotiation packet.
// https://www.rfc-editor.org/rfc/rfc9000#section-6.2
func (c *Conn) receiveVersionNegotiation(b []byte) {
	if c.IsServer() || c.handshake.peerSrcKnown || c.handshake.retried || c.handshake.negotiated {
		// "A client MUST discard any Version Negotiation packet if it has
		// received and successfully processed any other packet, including an
		// earlier Version Negotiation packet."
		return
	}
	p, err := wire.ParseVersionNegotiation(b)
	if err != nil || !c.handshake.localSrc.EqualBytes(p.DstRaw) || !c.handshake.initialDst.EqualBytes(p.SrcRaw) {
		c.drop(dropMalformed, len(b))
		return
	}
	if p.Contains(wire.Version(c.v.Version)) {
		// "A client MUST discard a Version Negotiation packet that lists the QUIC
		// version selected by the client."
		c.drop(dropVersion, len(b))
		return
	}
	var theirs []wire.Version
	for i := range p.Len() {
		theirs = append(theirs, p.Version(i))
	}
	for _, v := range c.config.Versions {
		if p.Contains(v) {
			c.handshake.offered = theirs
			c.restart(v)
			return
		}
	}
	c.closeSilently(&VersionError{Ours: c.config.Versions, Theirs: theirs})
}

// restart begins the handshake anew in another version.
// https://www.rfc-editor.org/rfc/rfc9368#section-2.1
func (c *Conn) restart(v wire.Version) {
	c.handshake.negotiated = true
	c.v.Version, c.v.OriginalVersion = uint32(v), uint32(v)
	c.resetInitial()
	if c.log != nil {
		c.log.VersionInformation(c.now, c.handshake.offered, c.config.Versions, v)
	}
	// TLS starts over: its parameters name the new version.
	c.tls.conn.Close()
	c.localParams = nil
	c.crypto = [numSpaces]*cryptoStream{initialSpace: newCryptoStream(), handshakeSpace: newCryptoStream()}
	c.keys = [numLevels]levelKeys{}
	if err := c.startClient(c.handshake.odcid, c.handshake.serverName); err != nil {
		if te, ok := isTransportError(err); ok {
			c.fail(te)
		}
	}
}

// resetInitial drops what was sent in the Initial space, for a fresh start.
func (c *Conn) resetInitial() {
	s := c.initial
	c.path0.Congestion.BytesInFlight = 0
	next := s.sent.Next()
	s.sent.Discard()
	_ = next
	c.path0.PTOCount = 0
}

// selectVersion moves a server to the version it prefers among those the client
// offers as compatible.
// https://www.rfc-editor.org/rfc/rfc9368#section-2.3
func (c *Conn) selectVersion(tp *wire.TransportParameters) *TransportError {
	if !tp.HasVersionInformation {
		return nil
	}
	if v := tp.VersionInformation.Chosen; v != wire.Version(c.v.Version) {
		// "…if the Chosen Version does not match the version in use, the
		// endpoint MUST close the connection with a version negotiation error."
		// https://www.rfc-editor.org/rfc/rfc9368#section-4
		return violation(VersionNegotiationFailure, wire.Crypto, "client chose %v, its packets say %v", v, wire.Version(c.v.Version))
	}
	for _, v := range c.config.Versions {
		if v == wire.Version(c.v.Version) {
			break
		}
		if slices.Contains(tp.VersionInformation.Available, v) {
			c.switchVersion(v)
			break
		}
	}
	if c.log != nil {
		c.log.VersionInformation(c.now, c.config.Versions, tp.VersionInformation.Available, wire.Version(c.v.Version))
	}
	return nil
}

// switchVersion changes the version of all packets from here on, keeping the
// old Initial keys for packets in flight.
func (c *Conn) switchVersion(v wire.Version) {
	c.handshake.oldVersion, c.handshake.oldOpen = wire.Version(c.v.Version), c.keys[levelInitial].open
	c.v.Version = uint32(v)
	if err := c.deriveInitialKeys(); err != nil {
		c.fail(violation(InternalError, 0, "%v", err))
	}
}

// openerForVersion returns the keys of a packet whose version is not the
// connection's.
func (c *Conn) openerForVersion(h *wire.LongHeader, l encryptionLevel) *protection.Opener {
	if l == levelEarly && h.Version == wire.Version(c.v.OriginalVersion) {
		return c.keys[levelEarly].open
	}
	if l != levelInitial || c.initial.v.Discarded != 0 {
		return nil
	}
	if c.IsServer() {
		if h.Version == c.handshake.oldVersion {
			return c.handshake.oldOpen
		}
		return nil
	}
	// A client learns of the server's choice from its first packet.
	// https://www.rfc-editor.org/rfc/rfc9368#section-4
	if c.handshake.oldOpen != nil || !slices.Contains(c.config.Versions, h.Version) {
		return nil
	}
	hs := &c.handshake
	if hs.candidate != h.Version {
		k, err := c.initialKeys(h.Version)
		if err != nil {
			return nil
		}
		hs.candidate, hs.candidateKeys = h.Version, k
	}
	return hs.candidateKeys.open
}

// followVersion takes a client to the version the server has chosen, now that a
// packet in it has proven genuine.
func (c *Conn) followVersion(v wire.Version) {
	hs := &c.handshake
	hs.oldVersion, hs.oldOpen = wire.Version(c.v.Version), c.keys[levelInitial].open
	c.keys[levelInitial] = hs.candidateKeys
	hs.candidateKeys = levelKeys{}
	c.v.Version = uint32(v)
}

// checkVersion authenticates the version in use.
//
// "…the client MUST validate … If … the Chosen Version … differs from the
// version in use … MUST close the connection with a version negotiation error."
// https://www.rfc-editor.org/rfc/rfc9368#section-4
func (c *Conn) checkVersion(tp *wire.TransportParameters) *TransportError {
	bad := func(format string, a ...any) *TransportError {
		return violation(VersionNegotiationFailure, wire.Crypto, format, a...)
	}
	chosen := wire.Version(c.v.Version)
	if !tp.HasVersionInformation {
		if chosen != wire.Version(c.v.OriginalVersion) || c.handshake.negotiated && chosen != wire.Version1 {
			return bad("version_information is missing")
		}
		return nil
	}
	if tp.VersionInformation.Chosen != chosen {
		return bad("server chose %v, packets say %v", tp.VersionInformation.Chosen, chosen)
	}
	if !c.handshake.negotiated {
		return nil
	}
	// Would the authentic list have led to the same choice?
	for _, v := range c.config.Versions {
		if v == chosen || v == wire.Version(c.v.OriginalVersion) {
			return nil
		}
		if slices.Contains(tp.VersionInformation.Available, v) {
			return bad("downgraded to %v though the server knows %v", chosen, v)
		}
	}
	return nil
}

// receiveRetry restarts the handshake with the server's token.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5
func (c *Conn) receiveRetry(b []byte, h *wire.LongHeader) {
	hs := &c.handshake
	if c.IsServer() || hs.retried || hs.peerSrcKnown || h.Version != wire.Version(c.v.Version) {
		c.drop(dropMalformed, len(b))
		return
	}
	p, err := wire.ParseRetry(b)
	if err != nil || p.DstConnID != hs.localSrc || p.SrcConnID == hs.odcid || !protection.VerifyRetryTag(h.Version, hs.odcid, b) {
		// "Clients MUST discard Retry packets that have a Retry Integrity Tag
		// that cannot be validated"; "a client MUST discard a Retry packet that
		// contains a Source Connection ID field that is identical to the
		// Destination Connection ID field of its Initial packet."
		c.drop(dropMalformed, len(b))
		return
	}
	hs.retried, hs.retrySrc = true, p.SrcConnID
	hs.initialDst = p.SrcConnID
	hs.token = append([]byte(nil), h.Token...)
	c.v.RetryTokenLength = uint64(len(hs.token))
	c.path0.remote.ids = []remoteID{{seq: 0, id: p.SrcConnID, used: true}}
	// Everything sent so far is sent again under the new keys; packet numbers
	// go on.
	// "A client MUST NOT reset the packet number for any packet number space
	// after processing a Retry packet."
	c.loseAll(c.initial)
	c.loseAll(&c.path0.space)
	if err := c.deriveInitialKeys(); err != nil {
		c.fail(violation(InternalError, 0, "%v", err))
	}
	c.path0.PTOCount = 0
	if c.log != nil {
		c.log.PacketReceived(c.now, wire.Retry, 0, len(b), 0, nil)
	}
}

// loseAll declares every packet in flight in a space lost, without telling the
// congestion controller: the peer discarded them on purpose.
func (c *Conn) loseAll(s *numberSpace) {
	if s.sent.Len() == 0 {
		return
	}
	last := s.sent.Next() - 1
	for pn, ok := s.sent.NextOutstanding(s.sent.First(), last); ok; pn, ok = s.sent.NextOutstanding(pn+1, last) {
		c.losePacket(s, s.path, s.sent.Get(pn), lossByTimer)
	}
}
