package core

import (
	"crypto/tls"
	"errors"
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/token"
	"github.com/pquic-go/pquic/core/wire"
)

// receiveUnknown handles a datagram of no connection.
func (e *Endpoint) receiveUnknown(now mono.Time, d *Datagram) {
	if !wire.IsLongHeader(d.Payload[0]) {
		if c := e.statelesslyReset(d.Payload); c != nil {
			c.begin(now)
			c.enterDraining(ErrStatelessReset)
			return
		}
		e.answerReset(d)
		return
	}
	h, err := wire.ParseLongHeader(d.Payload)
	if err != nil {
		e.stats.Dropped++
		return
	}
	if !e.cfg.Server {
		e.stats.Dropped++
		return
	}
	if h.Type == wire.UnknownVersion || h.Version.Known() && !e.speaks(h.Version) {
		e.answerVersion(d, &h)
		return
	}
	// "A server MUST discard an Initial packet that is carried in a UDP datagram
	// with a payload that is smaller than the smallest allowed maximum datagram
	// size of 1200 bytes."
	// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
	if h.Type != wire.Initial || len(d.Payload) < minUDPPayload || h.DstConnID.Len() < 8 && len(h.Token) == 0 {
		e.stats.Dropped++
		return
	}
	e.acceptInitial(now, d, &h)
}

func (e *Endpoint) speaks(v wire.Version) bool {
	for _, x := range e.config.Versions {
		if x == v {
			return true
		}
	}
	return false
}

// acceptInitial decides about a client's first packet.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
func (e *Endpoint) acceptInitial(now mono.Time, d *Datagram, h *wire.LongHeader) {
	odcid, retrySrc := h.DstConnID, wire.ConnID{}
	validated, retried := false, false
	if len(h.Token) > 0 {
		t, err := e.tokens.Open(now, h.Token, d.Remote)
		switch {
		case err == nil && t.Retry && t.RetrySrcCID == h.DstConnID:
			odcid, retrySrc, validated, retried = t.ODCID, t.RetrySrcCID, true, true
		case err == nil && !t.Retry && t.Version == h.Version:
			validated = true
		case err != nil && !errors.Is(err, token.ErrForged) && t.Retry:
			// "If a server receives a client Initial that contains an invalid
			// Retry token but is otherwise valid, … it SHOULD immediately close
			// the connection with an INVALID_TOKEN error."
			// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.2
			e.stats.InvalidTokens++
			e.refuse(d, h, InvalidToken)
			return
		default:
			e.stats.InvalidTokens++
		}
	}
	if e.cfg.Admit != nil && !e.cfg.Admit(d.Remote) {
		e.stats.Refused++
		e.refuse(d, h, ConnectionRefused)
		return
	}
	if len(e.conns) >= e.cfg.MaxConns || e.stats.Handshakes >= e.cfg.MaxHandshakes {
		e.stats.Refused++
		if validated {
			e.refuse(d, h, ConnectionRefused)
		}
		return
	}
	if !validated && e.wantRetry(d.Remote) {
		e.answerRetry(now, d, h)
		return
	}
	if h.DstConnID.Len() < 8 {
		e.stats.Dropped++
		return
	}
	cfg := e.config
	if e.cfg.ConfigFor != nil {
		if own := e.cfg.ConfigFor(d.Remote); own != nil {
			var err error
			if cfg, err = own.withDefaults(); err != nil {
				e.refuse(d, h, InternalError)
				return
			}
		}
	}
	e.accept(now, d, h, cfg, odcid, retrySrc, validated, retried)
}

func (e *Endpoint) wantRetry(remote netip.AddrPort) bool {
	if e.cfg.Retry != nil && e.cfg.Retry(remote) {
		return true
	}
	return e.stats.Handshakes >= e.cfg.RetryAbove
}

// accept makes the connection and hands it its first datagram.
func (e *Endpoint) accept(now mono.Time, d *Datagram, h *wire.LongHeader, cfg *Config, odcid, retrySrc wire.ConnID, validated, retried bool) {
	c := newConn(e, cfg, now, h.Version, d.Local, d.Remote, d.IfIndex)
	c.v.IsServer = 1
	c.handshake.odcid, c.handshake.retrySrc, c.handshake.retried = odcid, retrySrc, retried
	c.v.OriginalID = connIDView(odcid)
	c.v.RetryTokenLength = uint64(len(h.Token))
	c.path0.route.validated = validated
	c.path0.setRoute(c.path0.route)
	e.startIDs(c)
	dst := h.DstConnID
	e.ids[dst] = connIDEntry{c, 0, 0}
	c.handshake.initialDst = dst
	c.openLog(odcid)
	if e.cfg.Accept != nil {
		if err := e.cfg.Accept(c); err != nil {
			e.stats.Refused++
			e.remove(c)
			e.refuse(d, h, ConnectionRefused)
			return
		}
	}
	if err := c.startServer(dst); err != nil {
		e.stats.Refused++
		c.closeSilently(err)
		return
	}
	c.armIdle(now)
	c.receive(now, d, dst, 0)
	if c.v.PacketsReceived == 0 && c.v.State < StateClosing {
		// Damaged or forged: the connection must not outlive it. What the
		// datagram said in the clear (a token that did not open, a source
		// connection ID) would stand against the client's true first packet.
		e.stats.Dropped++
		c.closeSilently(ErrForgedInitial)
		return
	}
	e.stats.Accepted++
	c.finish()
}

// A statelessDatagram answers a datagram of no connection.
type statelessDatagram struct {
	payload       []byte
	local, remote netip.AddrPort
	ifIndex       uint32
}

// maxStateless bounds the answers that wait; more are not sent.
const maxStateless = 256

func (e *Endpoint) answer(d *Datagram, payload []byte) bool {
	if len(e.out) >= maxStateless {
		return false
	}
	e.out = append(e.out, statelessDatagram{payload: payload, local: d.Local, remote: d.Remote, ifIndex: d.IfIndex})
	return true
}

func (e *Endpoint) transmitStateless(buf []byte) Transmit {
	o := e.out[0]
	e.out[0] = statelessDatagram{}
	e.out = e.out[1:]
	if len(e.out) == 0 {
		e.out = nil
	}
	n := copy(buf, o.payload)
	return Transmit{Len: n, SegmentSize: n, Local: o.local, Remote: o.remote, IfIndex: o.ifIndex}
}

// answerVersion sends a Version Negotiation packet.
//
// "An endpoint MUST NOT send a Version Negotiation packet in response to …",
// and a server only to datagrams large enough to start a connection.
// https://www.rfc-editor.org/rfc/rfc9000#section-6.1
func (e *Endpoint) answerVersion(d *Datagram, h *wire.LongHeader) {
	if len(d.Payload) < minUDPPayload {
		e.stats.Dropped++
		return
	}
	versions := append([]wire.Version{wire.GreasedVersion(uint32(e.randomByte()) << 24)}, e.config.Versions...)
	p := wire.AppendVersionNegotiation(nil, h.SrcRaw, h.DstRaw, e.randomByte(), versions)
	if e.answer(d, p) {
		e.stats.VersionNegotiations++
	}
}

// answerRetry sends a Retry packet.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.2
func (e *Endpoint) answerRetry(now mono.Time, d *Datagram, h *wire.LongHeader) {
	src := e.layout.New(e.random, e.cfg.Worker)
	for src.Len() < 8 || src == h.DstConnID {
		// The Retry's connection ID becomes the client's Destination
		// Connection ID, which has to have 8 bytes.
		var b [8]byte
		e.random(b[:])
		src, _ = wire.MakeConnID(b[:])
	}
	tok := e.tokens.SealRetry(now, d.Remote, h.DstConnID, src)
	p := wire.AppendRetry(nil, h.Version, h.SrcConnID, src, tok, e.randomByte())
	tag := protection.RetryTag(h.Version, h.DstConnID, p)
	if e.answer(d, append(p, tag[:]...)) {
		e.stats.Retries++
	}
}

// answerReset sends a stateless reset for a packet whose connection we do not
// know (any more).
//
// "An endpoint that sends a Stateless Reset in response to a packet that is 43
// bytes or shorter SHOULD send a Stateless Reset that is one byte shorter than
// the packet it responds to"; it "MUST be smaller", to end loops.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.3
func (e *Endpoint) answerReset(d *Datagram) {
	const minReset = 21
	id, ok := wire.ParseShortHeaderDst(d.Payload, e.layout.Length)
	if !ok || len(d.Payload) <= minReset || !e.cfg.Server {
		e.stats.Dropped++
		return
	}
	n := min(len(d.Payload)-1, minReset+22+int(e.randomByte()&0x0f))
	p := make([]byte, n)
	e.random(p[:n-16])
	p[0] = p[0]&0x3f | wire.FixedBit
	t := e.resetToken(id)
	copy(p[n-16:], t[:])
	if e.answer(d, p) {
		e.stats.StatelessResets++
	}
}

// refuse answers a client's Initial with CONNECTION_CLOSE, keeping no state.
func (e *Endpoint) refuse(d *Datagram, h *wire.LongHeader, code TransportErrorCode) {
	_, secret := protection.InitialSecrets(h.Version, h.DstConnID)
	seal, err := protection.NewSealer(h.Version, tls.TLS_AES_128_GCM_SHA256, secret)
	if err != nil || len(e.out) >= maxStateless {
		return
	}
	src := e.layout.New(e.random, e.cfg.Worker)
	b := wire.AppendLongHeader(make([]byte, 0, 128), wire.Initial, h.Version, h.SrcConnID, src, nil, 1)
	pnOff := len(b)
	b = wire.AppendPacketNumber(b, 0, 1)
	b = wire.AppendConnectionClose(b, wire.ConnectionCloseFrame{ErrorCode: uint64(code)})
	b = append(b, make([]byte, overhead)...)
	wire.SetLongLength(b, pnOff, len(b)-pnOff)
	seal.Seal(b, pnOff, 1, 0, 0)
	e.answer(d, b)
}
