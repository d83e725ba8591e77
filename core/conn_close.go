package core

import (
	"errors"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// closeState is the end of a connection.
// https://www.rfc-editor.org/rfc/rfc9000#section-10
type closeState struct {
	err              error // why, as told to the application
	application      bool
	code             uint64
	frameType        wire.FrameType
	reason           string
	send             bool // a CONNECTION_CLOSE is due
	sentSinceReceive bool // idle timer: ack-eliciting sent since the last receive
	told             bool

	// The closing state answers ever fewer packets.
	received, answerAt uint64
}

// maxReason bounds the Reason Phrase we send.
const maxReason = 256

// Close ends the connection with an application error code; 0 by convention
// means nothing went wrong. What streams have not delivered is lost.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2
func (c *Conn) Close(now mono.Time, code uint64, reason string) {
	if c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	c.close.application, c.close.code, c.close.reason = true, code, reason
	c.v.ApplicationError = code
	c.enterClosing(&ApplicationError{Code: code, Reason: reason})
}

// CloseWithTransportError ends the connection with a transport error: for
// plugins that own a frame type and can no longer parse it.
func (c *Conn) CloseWithTransportError(e *TransportError) {
	if c.v.State < StateClosing {
		c.fail(e)
	}
}

// fail closes the connection because of the peer's or our own error.
func (c *Conn) fail(e *TransportError) {
	if c.v.State >= StateClosing {
		return
	}
	if c.plug.fault != nil {
		// A frame that its plugin can parse no more is what follows from the
		// fault, not the reason.
		e = c.faultError()
	}
	c.close.code, c.close.frameType, c.close.reason = uint64(e.Code), e.FrameType, e.Reason
	c.v.LocalError, c.v.OffendingFrameType = uint64(e.Code), uint64(e.FrameType)
	c.connectionError(CloseArg{Code: uint64(e.Code), FrameType: uint64(e.FrameType)})
	c.enterClosing(e)
}

// connectionError tells that we close the connection because of an error. Event "connection_error".
func (c *Conn) connectionError(a CloseArg) {
	if c.ops.connectionError.Attached() {
		c.ops.connectionError.Run(a)
	}
}

var opConnectionError = protoops.Define(protoops.Key{Name: "connection_error", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "We close the connection because of an error",
		Fires:   "once, before CONNECTION_CLOSE is sent",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-11",
	},
	func(c *Conn) *protoops.Slot[CloseArg, protoops.None] { return &c.ops.connectionError },
	nil)

// enterClosing sends CONNECTION_CLOSE and keeps answering with it for a while.
func (c *Conn) enterClosing(err error) {
	c.close.err, c.close.send = err, true
	c.close.answerAt = 1
	c.setState(StateClosing)
	c.leave(err)
	c.wake()
}

// enterDraining ends the connection without sending anything more.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2.2
func (c *Conn) enterDraining(err error) {
	if c.v.State >= StateDraining {
		return
	}
	closing := c.v.State == StateClosing
	c.close.send = false
	c.setState(StateDraining)
	if !closing {
		c.close.err = err
		c.leave(err)
	}
}

// leave tells everyone that the connection carries nothing more.
func (c *Conn) leave(err error) {
	c.timers = [numTimers]mono.Time{}
	// "These states SHOULD persist for at least three times the current PTO
	// interval".
	// https://www.rfc-editor.org/rfc/rfc9000#section-10.2
	c.timers[timerClose] = c.now.Add(c.closePeriod(NoArg{}).Duration)
	c.releaseTLS()
	c.pending = nil
	c.endpoint.schedule(c)
	c.logEnd(err)
	c.tell(err)
}

// logEnd writes why the connection ends.
func (c *Conn) logEnd(err error) {
	if c.log == nil {
		return
	}
	switch {
	case errors.Is(err, ErrIdleTimeout):
		c.log.ConnectionLost(c.now, true, "idle_timeout", "")
	case errors.Is(err, ErrHandshakeTimeout):
		c.log.ConnectionLost(c.now, true, "handshake_timeout", "")
	case errors.Is(err, ErrStatelessReset):
		c.log.ConnectionLost(c.now, false, "stateless_reset", "")
	default:
		c.log.ConnectionClosed(c.now, c.v.State == StateClosing, c.close.application, c.close.code, c.close.reason)
	}
}

func (c *Conn) tell(err error) {
	if c.close.told {
		return
	}
	c.close.told = true
	c.connectionClosed(CloseArg{Code: c.close.code, FrameType: uint64(c.close.frameType), Application: c.close.application, Remote: c.v.State == StateDraining})
	if c.handler != nil {
		c.handler.Closed(c, err)
	}
}

// connectionClosed tells that the connection can carry nothing more. Event "connection_closed".
func (c *Conn) connectionClosed(a CloseArg) {
	if c.ops.connectionClosed.Attached() {
		c.ops.connectionClosed.Run(a)
	}
}

var opConnectionClosed = protoops.Define(protoops.Key{Name: "connection_closed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The connection can carry nothing more",
		Fires:   "once per connection, whatever ended it",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-10",
	},
	func(c *Conn) *protoops.Slot[CloseArg, protoops.None] { return &c.ops.connectionClosed },
	nil)

// connectionStateChanged tells that the connection moved to another state. Event "connection_state_changed".
func (c *Conn) connectionStateChanged(a StateChange) {
	if c.ops.connectionStateChanged.Attached() {
		c.ops.connectionStateChanged.Run(a)
	}
}

var opConnectionStateChanged = protoops.Define(protoops.Key{Name: "connection_state_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The connection moved to another state",
		Fires:   "per change",
	},
	func(c *Conn) *protoops.Slot[StateChange, protoops.None] { return &c.ops.connectionStateChanged },
	nil)

// closePeriod chooses how long the closing or draining state lasts. Operation "close_period".
func (c *Conn) closePeriod(a NoArg) Span {
	if c.ops.closePeriod.Attached() {
		return c.ops.closePeriod.Run(a)
	}
	return c.closePeriodNative(a)
}

var opClosePeriod = protoops.Define(protoops.Key{Name: "close_period", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how long the closing or draining state lasts",
		Fires:   "when it is entered",
		Native:  "three probe timeouts",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-10.2",
	},
	func(c *Conn) *protoops.Slot[NoArg, Span] { return &c.ops.closePeriod },
	(*Conn).closePeriodNative)

func (c *Conn) closePeriodNative(NoArg) Span {
	return Span{3 * c.maxPTO()}
}

// closeSilently ends the connection without a packet.
func (c *Conn) closeSilently(err error) {
	if c.v.State >= StateClosing {
		return
	}
	c.close.err = err
	c.setState(StateDraining)
	c.leave(err)
	c.gone()
}

// gone forgets the connection.
func (c *Conn) gone() {
	if c.v.State == StateClosed {
		return
	}
	c.setState(StateClosed)
	c.timers = [numTimers]mono.Time{}
	if c.log != nil {
		c.log.Close(c.now)
		c.log = nil
	}
	c.endpoint.remove(c)
	if c.handler != nil {
		c.handler.Gone(c)
	}
}

// Err returns why the connection ended, nil while it is open.
func (c *Conn) Err() error { return c.close.err }

// receiveClosing handles a datagram in the closing or draining state.
//
// "An endpoint in the closing state sends a packet containing a
// CONNECTION_CLOSE frame in response to any incoming packet that it attributes
// to the connection. An endpoint SHOULD limit the rate at which it generates
// packets in the closing state."
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2.1
func (c *Conn) receiveClosing(_ mono.Time, d *Datagram) {
	c.drop(dropEnding, len(d.Payload))
	if c.v.State != StateClosing {
		return
	}
	c.path0.route.credit(d)
	c.close.received++
	if c.close.received >= c.close.answerAt {
		c.close.answerAt = 2 * c.close.received
		c.close.send = true
		c.wake()
	}
}

// transmitClose writes a datagram with CONNECTION_CLOSE in a packet of every
// level the peer may be able to read.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2.3
func (c *Conn) transmitClose(now mono.Time, buf []byte) (Transmit, bool) {
	if !c.close.send || c.v.State != StateClosing {
		return Transmit{}, false
	}
	c.close.send = false
	p, rt := c.path0, c.path0.route
	size := min(int(c.config.InitialUDPPayload), len(buf), int(min(rt.amplificationCredit(), 1<<16)))
	buf = buf[:size:size]
	n := 0
	b := c.builder()
	var initial bool
	for _, l := range [...]encryptionLevel{levelInitial, levelHandshake, level1RTT} {
		if c.keys[l].seal == nil || l == level1RTT && c.v.HandshakeComplete == 0 && !c.IsServer() {
			continue
		}
		if l != level1RTT && c.v.HandshakeConfirmed != 0 {
			continue
		}
		if !b.start(buf, n, p, rt, l) {
			break
		}
		f := wire.ConnectionCloseFrame{Application: c.close.application, ErrorCode: c.close.code, FrameType: c.close.frameType, Reason: []byte(c.close.reason)}
		if c.close.application && l != level1RTT {
			// "A CONNECTION_CLOSE of type 0x1d MUST be replaced by a
			// CONNECTION_CLOSE of type 0x1c when sending the frame in Initial or
			// Handshake packets. … Endpoints MUST clear the value of the Reason
			// Phrase field and SHOULD use the APPLICATION_ERROR code".
			f = wire.ConnectionCloseFrame{ErrorCode: uint64(ApplicationErrorCode)}
		}
		f.Reason = f.Reason[:min(len(f.Reason), maxReason, max(b.room()-32, 0))]
		if f.Len() > b.room() {
			break
		}
		b.b = wire.AppendConnectionClose(b.b, f)
		if l == levelInitial {
			initial = true
		}
		if initial && !c.IsServer() && !c.closeContinues(l) {
			b.padTo(minUDPPayload)
		}
		n += c.sealClose(now, b)
	}
	if n == 0 {
		return Transmit{}, false
	}
	rt.sent += uint64(n)
	return c.transmitOn(p, rt, n, n), true
}

func (c *Conn) closeContinues(l encryptionLevel) bool {
	if l == levelInitial && c.keys[levelHandshake].seal != nil {
		return true
	}
	return l < level1RTT && c.keys[level1RTT].seal != nil && (c.v.HandshakeComplete != 0 || c.IsServer())
}

// sealClose seals a packet without tracking it: nothing waits for its fate.
func (c *Conn) sealClose(now mono.Time, b *PacketBuilder) int {
	b.padForSampling()
	s := b.space
	pn := s.sent.Next()
	n := len(b.b) + overhead - b.begin
	if b.level != level1RTT {
		wire.SetLongLength(b.buf, b.pnOff, b.pnLen+len(b.b)-b.payload+overhead)
	}
	if c.log != nil {
		c.log.OnPath(b.path.ID).PacketSent(now, b.level.packetType(), pn, n, 0, b.b[b.payload:])
	}
	c.keys[b.level].seal.Seal(b.buf[b.begin:len(b.b)+overhead], b.pnOff-b.begin, b.pnLen, uint32(b.path.ID), pn)
	s.sent.Skip()
	c.v.PacketsSent++
	return n
}

// processConnectionClose handles the peer's close.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.19
func (c *Conn) processConnectionClose(_ *ReceivedPacket, f wire.ConnectionCloseFrame) *TransportError {
	var err error
	reason := string(f.Reason[:min(len(f.Reason), maxReason)])
	if f.Application {
		err = &ApplicationError{Code: f.ErrorCode, Reason: reason, Remote: true}
		c.v.RemoteAppError = f.ErrorCode
	} else {
		err = &TransportError{Code: TransportErrorCode(f.ErrorCode), FrameType: f.FrameType, Reason: reason, Remote: true}
		c.v.RemoteError = f.ErrorCode
	}
	c.v.OffendingFrameType = uint64(f.FrameType)
	c.close.application, c.close.code, c.close.frameType, c.close.reason = f.Application, f.ErrorCode, f.FrameType, reason
	c.enterDraining(err)
	return nil
}

// isTransportError finds a TransportError in err.
func isTransportError(err error) (*TransportError, bool) {
	var te *TransportError
	ok := errors.As(err, &te)
	return te, ok
}
