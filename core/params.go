package core

import (
	"slices"
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Two operations exist per transport parameter of a plugin:
// write_transport_parameter and process_transport_parameter. Those the engine
// knows it handles itself; ConnView shows them.

type (
	// WriteParam is the argument of write_transport_parameter.
	WriteParam struct {
		ID uint64 `op:"id" doc:"transport parameter ID"`
	}

	// WrittenParam is its result.
	WrittenParam struct {
		Present bool   `op:"present" doc:"send the parameter"`
		Value   uint64 `op:"value" doc:"its value, sent as a varint unless bytes are given"`
		bytes   []byte
	}

	// ProcessParam is the argument of process_transport_parameter.
	ProcessParam struct {
		ID    uint64 `op:"id" doc:"transport parameter ID"`
		Value []byte `op:"value" doc:"its bytes"`
	}
)

// SetBytes makes the parameter's value b.
func (w *WrittenParam) SetBytes(b []byte) { w.bytes = b }

// paramSlots are the slots of the transport parameters plugins add.
type paramSlots struct {
	write   protoops.Dynamic[WriteParam, WrittenParam]
	process protoops.Dynamic[ProcessParam, Outcome]
}

func paramFamilies() []protoops.Op[*Conn] {
	return []protoops.Op[*Conn]{
		protoops.DefineFamily("write_transport_parameter",
			protoops.Doc{Summary: "Answers the value of a plugin's transport parameter", Fires: "when our parameters are composed", Section: "https://www.rfc-editor.org/rfc/rfc9000#section-7.4.2"},
			func(c *Conn) *protoops.Dynamic[WriteParam, WrittenParam] { return &c.ops.params.write },
			func(*Conn, WriteParam) WrittenParam { return WrittenParam{} }).Except(notAPluginsParam),
		protoops.DefineFamily("process_transport_parameter",
			protoops.Doc{Summary: "Acts on a plugin's transport parameter of the peer", Fires: "when the peer's parameters arrive", Section: "https://www.rfc-editor.org/rfc/rfc9000#section-7.4.2"},
			func(c *Conn) *protoops.Dynamic[ProcessParam, Outcome] { return &c.ops.params.process },
			func(*Conn, ProcessParam) Outcome { return Outcome{} }).Except(notAPluginsParam),
	}
}

func notAPluginsParam(id uint64) bool { return wire.KnownParameter(id) || id > wire.MaxVarint }

// attachHook runs Config.OnTransportParameters, once.
func (c *Conn) attachHook() error {
	if c.handshake.hooked {
		return nil
	}
	c.handshake.hooked = true
	if f := c.config.OnTransportParameters; f != nil {
		if err := f(c); err != nil {
			return violation(InternalError, 0, "%v", err)
		}
	}
	c.attachPlugins(NoArg{})
	return nil
}

// prepareParams runs the attach hook and composes our transport parameters.
func (c *Conn) prepareParams() error {
	if c.localParams != nil {
		return nil
	}
	if err := c.attachHook(); err != nil {
		return err
	}
	c.localParams = c.composeParams()
	c.v.LocalParams = paramsView(c.localParams)
	return nil
}

// attachPlugins tells that our transport parameters are about to be composed. Event "attach_plugins".
func (c *Conn) attachPlugins(a NoArg) {
	if c.ops.attachPlugins.Attached() {
		c.ops.attachPlugins.Run(a)
	}
}

var opAttachPlugins = protoops.Define(protoops.Key{Name: "attach_plugins", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Our transport parameters are about to be composed",
		Fires:   "once per connection, on a server with the peer's parameters, SNI and ALPN known",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.attachPlugins },
	nil)

// composeParams fills in what we declare.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
func (c *Conn) composeParams() *wire.TransportParameters {
	cfg := c.config
	tp := wire.DefaultTransportParameters()
	tp.MaxIdleTimeout = cfg.MaxIdleTimeout
	tp.MaxUDPPayloadSize = uint64(cfg.MaxUDPPayload)
	tp.InitialMaxData = cfg.ConnWindow
	tp.InitialMaxStreamDataBidiLocal = cfg.StreamWindow
	tp.InitialMaxStreamDataBidiRemote = cfg.StreamWindow
	tp.InitialMaxStreamDataUni = cfg.StreamWindow
	tp.InitialMaxStreamsBidi = uint64(cfg.MaxBidiStreams)
	tp.InitialMaxStreamsUni = uint64(cfg.MaxUniStreams)
	tp.AckDelayExponent = uint64(cfg.AckDelayExponent)
	tp.MaxAckDelay = cfg.MaxAckDelay
	tp.HasMinAckDelay, tp.MinAckDelay = true, time.Millisecond
	tp.ResetStreamAt = true
	tp.GreaseQUICBit = !cfg.DisableGrease
	tp.DisableActiveMigration = cfg.DisableMigration
	tp.ActiveConnectionIDLimit = cfg.ActiveConnIDLimit
	tp.HasInitialSourceConnectionID, tp.InitialSourceConnectionID = true, c.handshake.localSrc
	tp.HasVersionInformation = true
	tp.VersionInformation = wire.VersionInformation{Chosen: wire.Version(c.v.Version), Available: c.availableVersions()}
	if c.IsServer() {
		tp.HasOriginalDestinationConnectionID, tp.OriginalDestinationConnectionID = true, c.handshake.odcid
		if c.handshake.retried {
			tp.HasRetrySourceConnectionID, tp.RetrySourceConnectionID = true, c.handshake.retrySrc
		}
		tp.HasStatelessResetToken, tp.StatelessResetToken = true, c.endpoint.resetToken(c.handshake.localSrc)
		c.addPreferredAddress(&tp)
	}
	c.appendOffers(&tp)
	for _, id := range c.ops.params.write.Params() {
		if c.offered(id) {
			continue // "MUST NOT send a parameter more than once"
		}
		w := c.ops.params.write.Slot(id).Run(WriteParam{ID: id})
		if !w.Present {
			continue
		}
		v := w.bytes
		if v == nil {
			v = wire.AppendVarint(nil, w.Value&wire.MaxVarint)
		}
		tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: id, Value: v})
	}
	if !cfg.DisableGrease {
		// "Transport parameters with an identifier of the form 31 * N + 27 …
		// are reserved to exercise the requirement that unknown transport
		// parameters be ignored."
		// https://www.rfc-editor.org/rfc/rfc9000#section-18.1
		tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: wire.GreasedParameterID(uint64(c.endpoint.randomByte())), Value: []byte{}})
	}
	return &tp
}

func (c *Conn) encodeParams() []byte {
	if c.log != nil {
		c.log.ParametersSet(c.now, true, c.localParams)
	}
	return c.localParams.Append(nil, c.IsServer())
}

// availableVersions lists our versions, preferred first, with one reserved
// version mixed in.
// https://www.rfc-editor.org/rfc/rfc9368#section-3
func (c *Conn) availableVersions() []wire.Version {
	v := slices.Clone(c.config.Versions)
	if !slices.Contains(v, wire.Version(c.v.Version)) {
		v = append(v, wire.Version(c.v.Version))
	}
	if !c.config.DisableGrease {
		v = append(v, wire.GreasedVersion(uint32(c.endpoint.randomByte())<<24))
	}
	return v
}

func paramsView(tp *wire.TransportParameters) ParamsView {
	flag := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	return ParamsView{
		MaxIdleTimeout:          uint64(tp.MaxIdleTimeout / time.Millisecond),
		MaxUDPPayloadSize:       tp.MaxUDPPayloadSize,
		InitialMaxData:          tp.InitialMaxData,
		StreamDataBidiLocal:     tp.InitialMaxStreamDataBidiLocal,
		StreamDataBidiRemote:    tp.InitialMaxStreamDataBidiRemote,
		StreamDataUni:           tp.InitialMaxStreamDataUni,
		StreamsBidi:             tp.InitialMaxStreamsBidi,
		StreamsUni:              tp.InitialMaxStreamsUni,
		AckDelayExponent:        tp.AckDelayExponent,
		MaxAckDelay:             uint64(tp.MaxAckDelay / time.Millisecond),
		DisableActiveMigration:  flag(tp.DisableActiveMigration),
		ActiveConnectionIDLimit: tp.ActiveConnectionIDLimit,
		GreaseQUICBit:           flag(tp.GreaseQUICBit),
		MinAckDelay:             uint64(tp.MinAckDelay / time.Microsecond),
		ResetStreamAt:           flag(tp.ResetStreamAt),
	}
}

// receiveParams handles the peer's transport parameters.
func (c *Conn) receiveParams(b []byte) error {
	tp, err := wire.ParseTransportParameters(b, !c.IsServer())
	if err != nil {
		return violation(TransportParameterError, wire.Crypto, "%v", err)
	}
	if te := c.checkParams(&tp); te != nil {
		return te
	}
	if c.tls.early.offered && c.handshake.remembered != nil && !tp.Covers(c.handshake.remembered) && c.v.EarlyDataState != 3 {
		// "A server … MUST NOT reduce any limits or alter any values that might
		// be violated by the client with its 0-RTT data."
		// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
		// Whether it accepts the data is known once the handshake completes.
		c.tls.early.reduced = true
	}
	if c.log != nil {
		c.log.ParametersSet(c.now, false, &tp)
	}
	c.peerParams = &tp
	c.v.PeerParamsReceived = 1
	if c.IsServer() {
		if te := c.selectVersion(&tp); te != nil {
			return te
		}
	} else if te := c.checkVersion(&tp); te != nil {
		return te
	}
	c.applyParams(&tp)
	if c.IsServer() {
		// What attaches now may have something to say about the parameters the
		// client has sent.
		if err := c.attachHook(); err != nil {
			return err
		}
	}
	if te := c.settleOffers(&tp); te != nil {
		return te
	}
	for i := range tp.Unknown {
		p := &tp.Unknown[i]
		if s := c.ops.params.process.Slot(p.ID); s != nil {
			if te := s.Run(ProcessParam{ID: p.ID, Value: p.Value}).error(wire.Crypto); te != nil {
				return te
			}
			continue
		}
		if c.offered(p.ID) {
			continue
		}
		c.v.UnknownParams++
		c.unknownParameter(UnknownParam{ID: p.ID, Value: p.Value})
	}
	return nil
}

// unknownParameter tells that a transport parameter no one has claimed was received. Event "unknown_transport_parameter".
func (c *Conn) unknownParameter(a UnknownParam) {
	if c.ops.unknownParameter.Attached() {
		c.ops.unknownParameter.Run(a)
	}
}

var opUnknownParameter = protoops.Define(protoops.Key{Name: "unknown_transport_parameter", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A transport parameter no one has claimed was received",
		Fires:   "once per unknown parameter",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-7.4.2",
	},
	func(c *Conn) *protoops.Slot[UnknownParam, protoops.None] { return &c.ops.unknownParameter },
	nil)

// checkParams authenticates the connection IDs of the handshake.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.3
func (c *Conn) checkParams(tp *wire.TransportParameters) *TransportError {
	h := &c.handshake
	bad := func(format string, a ...any) *TransportError {
		return violation(TransportParameterError, wire.Crypto, format, a...)
	}
	if !tp.HasInitialSourceConnectionID {
		return bad("initial_source_connection_id is missing")
	}
	if tp.InitialSourceConnectionID != h.peerSrc {
		return bad("initial_source_connection_id is %v, the packets say %v", tp.InitialSourceConnectionID, h.peerSrc)
	}
	if c.IsServer() {
		return nil
	}
	if tp.HasPreferredAddress && h.peerSrc.Len() == 0 {
		// "A server that chooses a zero-length connection ID MUST NOT provide a
		// preferred address. […] A client MUST treat a violation of these
		// requirements as a connection error of type TRANSPORT_PARAMETER_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
		return bad("preferred_address beside a zero-length connection ID")
	}
	if !tp.HasOriginalDestinationConnectionID || tp.OriginalDestinationConnectionID != h.odcid {
		return bad("original_destination_connection_id does not match the first Initial")
	}
	if tp.HasRetrySourceConnectionID != h.retried || h.retried && tp.RetrySourceConnectionID != h.retrySrc {
		return bad("retry_source_connection_id does not match the Retry")
	}
	return nil
}

// applyParams makes the peer's parameters count.
func (c *Conn) applyParams(tp *wire.TransportParameters) {
	c.v.RemoteParams = paramsView(tp)
	c.applyLimits(tp)
	for _, p := range c.paths {
		p.MaxAckDelay = tp.MaxAckDelay
		p.mtu.limit(p, tp.MaxUDPPayloadSize)
	}
	if d := tp.MaxIdleTimeout; d > 0 && (c.v.IdleTimeout == 0 || d < c.v.IdleTimeout) {
		// "Each endpoint advertises a max_idle_timeout, but the effective value
		// at an endpoint is computed as the minimum of the two advertised
		// values".
		// https://www.rfc-editor.org/rfc/rfc9000#section-10.1
		c.v.IdleTimeout = d
	}
	if tp.HasStatelessResetToken {
		if id := c.path0.remote.get(0); id != nil {
			id.token, id.hasToken = tp.StatelessResetToken, true
			c.endpoint.addResetToken(id.token, c)
		}
	}
	if tp.HasPreferredAddress {
		// Its connection ID has sequence number 1, whether or not we move there.
		// https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1
		pa, r := &tp.PreferredAddress, &c.path0.remote
		if !r.seen.add(1) {
			r.ids = append(r.ids, remoteID{seq: 1, id: pa.ConnID, token: pa.ResetToken, hasToken: true})
		}
	}
	c.idleRestart(c.now)
}

// applyLimits sets the peer's flow-control limits, of the handshake or
// remembered.
func (c *Conn) applyLimits(tp *wire.TransportParameters) {
	v := &c.v
	v.MaxDataRemote = max(v.MaxDataRemote, tp.InitialMaxData)
	v.MaxStreamsBidiRemote = max(v.MaxStreamsBidiRemote, tp.InitialMaxStreamsBidi)
	v.MaxStreamsUniRemote = max(v.MaxStreamsUniRemote, tp.InitialMaxStreamsUni)
	c.streams.applyLimits(tp)
	if c.handler != nil {
		if tp.InitialMaxStreamsBidi > 0 {
			c.handler.StreamsAvailable(c, true)
		}
		if tp.InitialMaxStreamsUni > 0 {
			c.handler.StreamsAvailable(c, false)
		}
	}
}

// applyRemembered lets a client send 0-RTT under the limits of its last visit.
func (c *Conn) applyRemembered(tp *wire.TransportParameters) {
	c.v.RemoteParams = paramsView(tp)
	c.applyLimits(tp)
}
