package core

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// handshakeState is what only the handshake needs.
type handshakeState struct {
	serverName string

	odcid        wire.ConnID // Destination Connection ID of the client's first Initial
	initialDst   wire.ConnID // the one Initial keys derive from: odcid, or the Retry's
	retrySrc     wire.ConnID // Source Connection ID of the Retry, if retried
	retried      bool
	localSrc     wire.ConnID // our Source Connection ID during the handshake
	peerSrc      wire.ConnID
	peerSrcKnown bool
	token        []byte // the client's address-validation token

	// Compatible version negotiation: keys of the version the packets had
	// before it was changed.
	oldVersion wire.Version
	oldOpen    *protection.Opener
	// Client: Initial keys of a version the server may have chosen.
	candidate     wire.Version
	candidateKeys levelKeys
	offered       []wire.Version // client: versions of a Version Negotiation packet, to check later
	negotiated    bool           // client: it reacted to Version Negotiation

	hooked bool // OnTransportParameters has run

	helloSent mono.Time // server: when ServerHello left last, known once Initial keys are gone

	newToken   []byte // server: NEW_TOKEN to send
	remembered *wire.TransportParameters
}

// tlsState drives crypto/tls.
type tlsState struct {
	conn  *tls.QUICConn // nil once there is nothing more to ask it
	state tls.ConnectionState
	done  bool
	early earlyData
	alpn  string

	stored bool // client: a session ticket was stored
	busy   bool // drainTLS is running

	// Of the CRYPTO stream in 1-RTT packets: how much was read, and where in a
	// message that ends.
	read      uint64
	head      [4]byte
	headLen   int
	remaining int
}

type earlyData struct {
	offered, accepted bool
	reduced           bool // the server's limits are below those remembered
}

// maxCryptoBuffer bounds how much handshake data is reassembled.
//
// "Implementations MUST support buffering at least 4096 bytes of data received
// in out-of-order CRYPTO frames."
// https://www.rfc-editor.org/rfc/rfc9000#section-7.5
const maxCryptoBuffer = 64 << 10

// A cryptoStream is the CRYPTO stream of one encryption level.
type cryptoStream struct {
	send     stream.Send
	sendFIFO *stream.FIFO
	recv     stream.Recv
	recvFIFO *stream.FIFO
	base     uint64 // where recv begins, in the stream's offsets; see Conn.rest

	fifos [2]stream.FIFO
}

func newCryptoStream() *cryptoStream {
	s := new(cryptoStream)
	s.sendFIFO, s.recvFIFO = &s.fifos[0], &s.fifos[1]
	s.sendFIFO.Init(0, 1<<20)
	s.recvFIFO.Init(0, maxCryptoBuffer)
	s.send.Init(0, s.sendFIFO, wire.MaxVarint)
	s.recv.Init(0, s.recvFIFO, stream.NewWindow(maxCryptoBuffer, maxCryptoBuffer))
	return s
}

// cryptoStream returns the CRYPTO stream of a space, nil if its keys are
// discarded. That of the Application Data space is made when it is needed.
func (c *Conn) cryptoStream(id spaceID) *cryptoStream {
	if c.crypto[id] == nil && id == appSpace {
		c.crypto[id] = newCryptoStream()
		c.crypto[id].base = c.tls.read
	}
	return c.crypto[id]
}

func (s *cryptoStream) pending() bool { return s != nil && s.send.Pending(wire.MaxVarint) }

// startClient derives Initial keys and starts TLS as a client.
func (c *Conn) startClient(dst wire.ConnID, serverName string) error {
	c.handshake.odcid, c.handshake.initialDst, c.handshake.serverName = dst, dst, serverName
	c.v.OriginalID = connIDView(dst)
	c.path0.remote.ids = []remoteID{{seq: 0, id: dst, used: true}}
	c.path0.route.validated = true // a client's own address needs no proof
	c.path0.Validated = 1
	if err := c.deriveInitialKeys(); err != nil {
		return err
	}
	cfg := c.tlsConfig()
	if cfg.ServerName == "" {
		cfg.ServerName = serverName
	}
	c.tls.conn = tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg, EnableSessionEvents: true})
	if err := c.prepareParams(); err != nil {
		return err
	}
	c.tls.conn.SetTransportParameters(c.encodeParams())
	return c.startTLS()
}

// startServer derives Initial keys and starts TLS as a server.
func (c *Conn) startServer(initialDst wire.ConnID) error {
	c.v.IsServer = 1
	c.handshake.initialDst = initialDst
	if err := c.deriveInitialKeys(); err != nil {
		return err
	}
	c.tls.conn = tls.QUICServer(&tls.QUICConfig{TLSConfig: c.tlsConfig(), EnableSessionEvents: true})
	return c.startTLS()
}

func (c *Conn) startTLS() error {
	if err := c.tls.conn.Start(context.Background()); err != nil {
		return c.tlsError(err)
	}
	if err := c.drainTLS(); err != nil {
		return err
	}
	return nil
}

// tlsConfig returns the configuration with the engine's time in place of the
// clock, and on a server with the ALPN of the connection chosen up front.
func (c *Conn) tlsConfig() *tls.Config {
	cfg := c.config.TLS.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.Time = func() time.Time { return c.now.Time() }
	if !c.IsServer() {
		return cfg
	}
	shareTickets(cfg, c.config.TLS)
	next := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c.handshake.serverName = h.ServerName
		chosen := cfg
		if next != nil {
			if own, err := next(h); err != nil {
				return nil, err
			} else if own != nil {
				chosen = own.Clone()
				chosen.MinVersion, chosen.Time = tls.VersionTLS13, cfg.Time
				shareTickets(chosen, c.config.TLS)
			}
		}
		c.tls.alpn = selectALPN(chosen.NextProtos, h.SupportedProtos)
		return chosen, nil
	}
	return cfg
}

// shareTickets makes a connection's own clone seal and open session tickets
// with the keys of the configuration all connections share: keys that crypto/tls
// makes by itself belong to one tls.Config, and clones would not know each
// other's tickets.
func shareTickets(clone, shared *tls.Config) {
	if clone.WrapSession == nil {
		clone.WrapSession = shared.EncryptTicket
	}
	if clone.UnwrapSession == nil {
		clone.UnwrapSession = shared.DecryptTicket
	}
}

// selectALPN predicts what crypto/tls will select.
func selectALPN(ours, theirs []string) string {
	for _, p := range ours {
		for _, q := range theirs {
			if p == q {
				return p
			}
		}
	}
	return ""
}

// ServerName returns the SNI of the handshake, ALPN the protocol it selected:
// on a server both are known when OnTransportParameters runs.
func (c *Conn) ServerName() string { return c.handshake.serverName }

// ALPN returns the application protocol.
func (c *Conn) ALPN() string {
	if c.tls.done {
		return c.tls.state.NegotiatedProtocol
	}
	return c.tls.alpn
}

func (t *tlsState) connectionState() tls.ConnectionState { return t.state }

func (c *Conn) deriveInitialKeys() error {
	k, err := c.initialKeys(wire.Version(c.v.Version))
	c.keys[levelInitial] = k
	return err
}

func (c *Conn) initialKeys(v wire.Version) (k levelKeys, err error) {
	client, server := protection.InitialSecrets(v, c.handshake.initialDst)
	write, read := client, server
	if c.IsServer() {
		write, read = server, client
	}
	if k.seal, err = protection.NewSealer(v, tls.TLS_AES_128_GCM_SHA256, write); err != nil {
		return k, err
	}
	k.open, err = protection.NewOpener(v, tls.TLS_AES_128_GCM_SHA256, read)
	return k, err
}

// processCrypto feeds handshake bytes to TLS.
func (c *Conn) processCrypto(in *ReceivedPacket, f wire.CryptoFrame) *TransportError {
	id := in.level.space()
	s := c.cryptoStream(id)
	if s == nil {
		return nil
	}
	if f.Offset < s.base {
		seen := min(s.base-f.Offset, uint64(len(f.Data)))
		f.Offset, f.Data = f.Offset+seen, f.Data[seen:]
		if f.Offset < s.base {
			return nil
		}
	}
	f.Offset -= s.base
	if f.Offset+uint64(len(f.Data)) > s.recvFIFO.Head()+maxCryptoBuffer {
		// "If an endpoint does not expand its buffer, it MUST close the
		// connection with a CRYPTO_BUFFER_EXCEEDED error code."
		// https://www.rfc-editor.org/rfc/rfc9000#section-7.5
		return violation(CryptoBufferExceeded, wire.Crypto, "data at offset %d, %d bytes are buffered at most", f.Offset, maxCryptoBuffer)
	}
	_, readable, err := s.recv.Receive(f.Offset, f.Data, false)
	if err != nil {
		if errors.Is(err, stream.ErrFlowControl) || errors.Is(err, stream.ErrTooManyGaps) {
			return violation(CryptoBufferExceeded, wire.Crypto, "%v", err)
		}
		return streamError(err, wire.Crypto)
	}
	if !readable {
		return nil
	}
	for {
		b := s.recvFIFO.PeekContiguous(s.recvFIFO.Head())
		if len(b) == 0 {
			break
		}
		if id == appSpace {
			c.tls.read += uint64(len(b))
			if te := c.tls.postHandshake(c.IsServer(), b); te != nil {
				return te
			}
		}
		if c.tls.conn != nil {
			if err := c.tls.conn.HandleData(tlsLevels[id], b); err != nil {
				return c.tlsTransportError(err)
			}
		}
		s.recvFIFO.Advance(s.recvFIFO.Head() + uint64(len(b)))
	}
	s.recv.MaxData(c.now, c.path0.RTT.SmoothedRTT)
	if c.tls.conn == nil {
		return nil
	}
	if err := c.drainTLS(); err != nil {
		var te *TransportError
		if errors.As(err, &te) {
			return te
		}
		return violation(InternalError, wire.Crypto, "%v", err)
	}
	if c.IsServer() && c.tls.done {
		c.releaseTLS() // the ticket, if any, is in the CRYPTO stream
	}
	return nil
}

// tlsLevels are crypto/tls's names of the spaces that carry its messages.
var tlsLevels = [numSpaces]tls.QUICEncryptionLevel{
	tls.QUICEncryptionLevelInitial, tls.QUICEncryptionLevelHandshake, tls.QUICEncryptionLevelApplication}

// drainTLS acts on everything TLS has to say.
func (c *Conn) drainTLS() error {
	c.tls.busy = true
	defer func() { c.tls.busy = false }()
	for {
		e := c.tls.conn.NextEvent()
		switch e.Kind {
		case tls.QUICNoEvent:
			return nil
		case tls.QUICSetReadSecret:
			if err := c.setReadSecret(e.Level, e.Suite, e.Data); err != nil {
				return err
			}
		case tls.QUICSetWriteSecret:
			if err := c.setWriteSecret(e.Level, e.Suite, e.Data); err != nil {
				return err
			}
		case tls.QUICWriteData:
			c.cryptoStream(spaceOfLevel(e.Level)).sendFIFO.Write(e.Data)
		case tls.QUICTransportParameters:
			if err := c.receiveParams(e.Data); err != nil {
				return err
			}
		case tls.QUICTransportParametersRequired:
			if err := c.prepareParams(); err != nil {
				return err
			}
			c.tls.conn.SetTransportParameters(c.encodeParams())
		case tls.QUICRejectedEarlyData:
			c.rejectEarlyData()
		case tls.QUICHandshakeDone:
			if err := c.completeHandshake(); err != nil {
				return err
			}
		case tls.QUICResumeSession:
			c.resumeSession(e.SessionState)
		case tls.QUICStoreSession:
			c.storeSession(e.SessionState)
		case tls.QUICErrorEvent:
			return c.tlsError(e.Err)
		}
	}
}

func spaceOfLevel(l tls.QUICEncryptionLevel) spaceID {
	switch l {
	case tls.QUICEncryptionLevelInitial:
		return initialSpace
	case tls.QUICEncryptionLevelHandshake:
		return handshakeSpace
	}
	return appSpace
}

func levelOf(l tls.QUICEncryptionLevel) encryptionLevel {
	return [...]encryptionLevel{levelInitial, levelEarly, levelHandshake, level1RTT}[l]
}

func (c *Conn) setReadSecret(l tls.QUICEncryptionLevel, suite uint16, secret []byte) error {
	v := wire.Version(c.v.Version)
	if l == tls.QUICEncryptionLevelEarly {
		// 0-RTT is always sent in the version of the first packet.
		// https://www.rfc-editor.org/rfc/rfc9369#section-4.1
		v = wire.Version(c.v.OriginalVersion)
	}
	o, err := protection.NewOpener(v, suite, secret)
	if err != nil {
		return err
	}
	c.keys[levelOf(l)].open = o
	if l == tls.QUICEncryptionLevelApplication {
		c.keyUpdate.installOpener(c, o)
	}
	return nil
}

func (c *Conn) setWriteSecret(l tls.QUICEncryptionLevel, suite uint16, secret []byte) error {
	s, err := protection.NewSealer(wire.Version(c.v.Version), suite, secret)
	if err != nil {
		return err
	}
	c.keys[levelOf(l)].seal = s
	switch l {
	case tls.QUICEncryptionLevelEarly:
		c.v.EarlyDataState = 1
		c.tls.early.offered = true
		if c.handshake.remembered != nil {
			c.applyRemembered(c.handshake.remembered)
		}
	case tls.QUICEncryptionLevelApplication:
		c.keyUpdate.suite = suite
		c.keyUpdate.setLimit(c)
	}
	return nil
}

// completeHandshake runs when TLS is done.
// https://www.rfc-editor.org/rfc/rfc9001#section-4.1.1
func (c *Conn) completeHandshake() error {
	c.tls.state = c.tls.conn.ConnectionState()
	c.tls.done = true
	if c.tls.early.offered && c.v.EarlyDataState == 1 {
		if c.tls.early.reduced {
			return violation(ProtocolViolation, wire.Crypto, "0-RTT accepted with reduced limits")
		}
		c.v.EarlyDataState, c.tls.early.accepted = 2, true
	}
	c.keys[levelEarly].seal = nil
	c.v.HandshakeComplete = 1
	c.v.HandshakeTime = c.now
	c.timers[timerHandshake] = 0
	c.setState(StateEstablished)
	if c.log != nil {
		c.log.ALPNInformation(c.now, c.tls.state.NegotiatedProtocol)
	}
	c.handshakeComplete(NoArg{})
	if c.IsServer() {
		c.timers[timerKeyDiscard] = c.now.Add(3 * c.path0.RTT.PTO(c.path0.MaxAckDelay))
		if !c.config.TLS.SessionTicketsDisabled {
			if err := c.sendTicket(); err != nil {
				return err
			}
		}
		c.pend |= pendHandshakeDone
		c.queueNewToken()
		// "The server MUST send a HANDSHAKE_DONE frame as soon as the handshake
		// is complete"; for it the handshake is then confirmed.
		// https://www.rfc-editor.org/rfc/rfc9001#section-4.1.2
		c.confirmHandshake()
	}
	if c.handler != nil {
		c.handler.HandshakeComplete(c)
	}
	c.issueConnIDs(c.path0)
	c.startAckFrequency()
	return nil
}

// handshakeComplete tells that the TLS handshake is complete. Event "handshake_complete".
func (c *Conn) handshakeComplete(a NoArg) {
	if c.ops.handshakeComplete.Attached() {
		c.ops.handshakeComplete.Run(a)
	}
}

var opHandshakeComplete = protoops.Define(protoops.Key{Name: "handshake_complete", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The TLS handshake is complete",
		Fires:   "once per connection",
		Section: "https://www.rfc-editor.org/rfc/rfc9001#section-4.1.1",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.handshakeComplete },
	nil)

// handshakeConfirmed tells that the handshake is confirmed: keys of earlier levels are discarded. Event "handshake_confirmed".
func (c *Conn) handshakeConfirmed(a NoArg) {
	if c.ops.handshakeConfirmed.Attached() {
		c.ops.handshakeConfirmed.Run(a)
	}
}

var opHandshakeConfirmed = protoops.Define(protoops.Key{Name: "handshake_confirmed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The handshake is confirmed: keys of earlier levels are discarded",
		Fires:   "once per connection",
		Section: "https://www.rfc-editor.org/rfc/rfc9001#section-4.1.2",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.handshakeConfirmed },
	nil)

// confirmHandshake discards what only the handshake needed.
func (c *Conn) confirmHandshake() {
	if c.v.HandshakeConfirmed != 0 {
		return
	}
	c.v.HandshakeConfirmed = 1
	c.v.ConfirmedTime = c.now
	c.setState(StateConfirmed)
	// "An endpoint MUST discard its Handshake keys when the TLS handshake is
	// confirmed."
	// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.2
	c.discardInitial()
	c.discardHandshake()
	c.handshakeConfirmed(NoArg{})
	if c.handler != nil {
		c.handler.HandshakeConfirmed(c)
	}
	c.path0.mtu.begin(c.path0, c.now)
	c.armKeepAlive(c.now)
	c.armRest(c.now)
	if !c.IsServer() && c.config.TLS.ClientSessionCache == nil {
		c.releaseTLS()
	}
	c.usePreferredAddress()
}

func (c *Conn) discardInitial() {
	if c.initial.v.Discarded != 0 {
		return
	}
	if c.IsServer() {
		c.handshake.helloSent = c.initial.lastCrypto()
	}
	c.initial.discard(c)
	if c.log != nil {
		c.log.KeyDiscarded(c.now, "initial")
	}
	c.keys[levelInitial] = levelKeys{}
	c.handshake.oldOpen, c.handshake.candidateKeys = nil, levelKeys{}
	c.crypto[initialSpace] = nil
	c.endpoint.noteHandshakeOver(c)
}

func (c *Conn) discardHandshake() {
	if c.hs.v.Discarded != 0 {
		return
	}
	c.hs.discard(c)
	if c.log != nil {
		c.log.KeyDiscarded(c.now, "handshake")
	}
	c.keys[levelHandshake] = levelKeys{}
	c.crypto[handshakeSpace] = nil
	c.handshake.token = nil
}

// validateHandshakeRoute marks the client's address as proven.
func (c *Conn) validateHandshakeRoute() {
	if r := c.path0.route; !r.validated {
		r.validated = true
		c.path0.Validated = 1
	}
}

func (c *Conn) tlsError(err error) error { return c.tlsTransportError(err) }

// tlsTransportError maps a TLS alert to its CRYPTO_ERROR; what crypto/tls or the
// application's own verification said is its Cause.
// https://www.rfc-editor.org/rfc/rfc9001#section-4.8
func (c *Conn) tlsTransportError(err error) *TransportError {
	var te *TransportError
	if errors.As(err, &te) {
		return te
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return &TransportError{Code: cryptoErrorBase + TransportErrorCode(alert), FrameType: wire.Crypto, Reason: err.Error(), Cause: err}
	}
	return &TransportError{Code: InternalError, FrameType: wire.Crypto, Reason: err.Error(), Cause: err}
}

// queueNewToken gives a client an address-validation token for its next visit.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
func (c *Conn) queueNewToken() {
	if k := c.endpoint.tokens; k != nil {
		c.handshake.newToken = k.SealNewVersion(c.now, c.path0.route.remote.Addr(), c.Version())
		c.pend |= pendNewToken
	}
}
