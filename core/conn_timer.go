package core

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// A timerID names one of the connection's timers.
type timerID uint8

const (
	timerHandshake  timerID = iota // the handshake must be complete
	timerIdle                      // idle timeout
	timerKeepAlive                 // PING is due
	timerLoss                      // time threshold or probe timeout, earliest of all paths
	timerAck                       // delayed acknowledgment
	timerPacing                    // the pacer lets the next datagram go
	timerPath                      // path validation and MTU discovery
	timerKeyDiscard                // old keys are dropped
	timerClose                     // closing or draining ends
	timerPlugin                    // a plugin's timer
	timerRest                      // the connection has been silent: it gives memory back
	numTimers
)

// Deadline returns when the connection next needs Advance; mono.Never if not.
func (c *Conn) deadline() mono.Time {
	t := mono.Never
	for _, x := range c.timers {
		if x != 0 && x < t {
			t = x
		}
	}
	return c.nextWakeTime(Deadline{t}).Time
}

// nextWakeTime chooses when the connection wakes without an event. Operation "set_next_wake_time".
func (c *Conn) nextWakeTime(a Deadline) Deadline {
	if c.ops.nextWakeTime.Attached() {
		return c.ops.nextWakeTime.Run(a)
	}
	return c.nextWakeTimeNative(a)
}

var opNextWakeTime = protoops.Define(protoops.Key{Name: "set_next_wake_time", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses when the connection wakes without an event",
		Fires:   "after every event",
		Native:  "the earliest armed timer",
	},
	func(c *Conn) *protoops.Slot[Deadline, Deadline] { return &c.ops.nextWakeTime },
	(*Conn).nextWakeTimeNative)

func (c *Conn) nextWakeTimeNative(a Deadline) Deadline {
	c.v.NextWakeTime = a.Time
	return a
}

// rearm recomputes the timers that depend on packets in flight.
func (c *Conn) rearm() {
	if c.v.State >= StateClosing {
		t := c.timers[timerClose]
		c.timers = [numTimers]mono.Time{}
		c.timers[timerClose] = t
		c.shed()
		return
	}
	var loss, ack, path mono.Time
	for _, p := range c.paths {
		p.LossDeadline = c.lossDeadline(p)
		p.showIDs()
		loss = mono.Earliest(loss, p.LossDeadline)
		ack = mono.Earliest(ack, p.space.v.AckDeadline)
		path = mono.Earliest(path, c.pathDeadline(p))
	}
	c.timers[timerLoss], c.timers[timerAck], c.timers[timerPath] = loss, ack, path
}

// advance fires the timers that are due.
func (c *Conn) advance(now mono.Time) {
	c.begin(now)
	c.noteSleep(now)
	due := func(id timerID) bool {
		t := c.timers[id]
		if t == 0 || t > now {
			return false
		}
		c.timers[id] = 0
		return true
	}
	if due(timerClose) {
		c.gone()
		return
	}
	if due(timerHandshake) && c.v.HandshakeComplete == 0 {
		c.closeSilently(ErrHandshakeTimeout)
		return
	}
	if due(timerIdle) {
		// "the connection is silently closed and its state is discarded".
		// https://www.rfc-editor.org/rfc/rfc9000#section-10.1
		c.closeSilently(ErrIdleTimeout)
		return
	}
	if due(timerKeepAlive) {
		c.pend |= pendPing
	}
	if due(timerLoss) {
		for _, p := range c.paths {
			if t := c.lossDeadline(p); t != 0 && t <= now {
				c.lossTimerFired(p)
			}
		}
	}
	if due(timerAck) {
		for _, p := range c.paths {
			if t := p.Space.AckDeadline; t != 0 && t <= now {
				p.Space.AckNow, p.Space.AckDeadline = 1, 0
			}
		}
	}
	if due(timerPacing) {
		// transmit is tried after every event
	}
	if due(timerPath) {
		for _, p := range append([]*Path(nil), c.paths...) {
			c.pathTimer(p)
		}
	}
	if due(timerKeyDiscard) {
		c.endpoint.forgetInitialID(c)
		c.keyUpdate.discardOld(c)
		c.keys[levelEarly] = levelKeys{}
	}
	if due(timerPlugin) {
		c.pluginTimersDue(now)
	}
	if due(timerRest) {
		c.rest()
	}
	c.runInjected()
	if c.v.State < StateClosing {
		c.finish()
	}
}

// maxSlip is how late the loss timer may be noticed before the host counts as
// having slept.
const maxSlip = time.Second

// noteSleep notices that the host was not running when the loss timer was due:
// it was suspended, or its clock leapt. What was acknowledged meanwhile says
// nothing about the network's round-trip time.
func (c *Conn) noteSleep(now mono.Time) {
	if t := c.timers[timerLoss]; t != 0 && now.Sub(t) > maxSlip {
		c.resumed = now
	}
}

// idleRestart restarts the idle timer: a packet was received and processed.
//
// "An endpoint restarts its idle timer when a packet from its peer is received
// and processed successfully."
// https://www.rfc-editor.org/rfc/rfc9000#section-10.1
func (c *Conn) idleRestart(now mono.Time) {
	c.close.sentSinceReceive = false
	c.armIdle(now)
}

// idleSent restarts the idle timer for the first ack-eliciting packet since
// one was received.
func (c *Conn) idleSent(now mono.Time) {
	if !c.close.sentSinceReceive {
		c.close.sentSinceReceive = true
		c.armIdle(now)
	} else if c.v.KeepAlive > 0 {
		c.armKeepAlive(now)
	}
}

func (c *Conn) armIdle(now mono.Time) {
	c.timers[timerIdle] = 0
	if d := c.idleTimeout(NoArg{}).Duration; d > 0 {
		c.timers[timerIdle] = now.Add(d)
	}
	c.armKeepAlive(now)
	c.armRest(now)
}

func (c *Conn) armKeepAlive(now mono.Time) {
	c.timers[timerKeepAlive] = 0
	if d := c.keepAlive(NoArg{}).Duration; d > 0 {
		c.timers[timerKeepAlive] = now.Add(d)
	}
}

// idleTimeout chooses how long silence ends the connection. Operation "idle_timeout".
func (c *Conn) idleTimeout(a NoArg) Span {
	if c.ops.idleTimeout.Attached() {
		return c.ops.idleTimeout.Run(a)
	}
	return c.idleTimeoutNative(a)
}

var opIdleTimeout = protoops.Define(protoops.Key{Name: "idle_timeout", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how long silence ends the connection",
		Fires:   "when the idle timer is restarted",
		Native:  "the negotiated timeout, at least three probe timeouts; 0 never",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-10.1",
	},
	func(c *Conn) *protoops.Slot[NoArg, Span] { return &c.ops.idleTimeout },
	(*Conn).idleTimeoutNative)

func (c *Conn) idleTimeoutNative(NoArg) Span {
	d := c.v.IdleTimeout
	if d == 0 {
		return Span{}
	}
	// "To avoid excessively small idle timeout periods, endpoints MUST increase
	// the idle timeout period to be at least three times the current Probe
	// Timeout (PTO)."
	return Span{max(d, 3*c.maxPTO())}
}

// keepAlive chooses after how long a silence a PING is sent. Operation "keep_alive_interval".
func (c *Conn) keepAlive(a NoArg) Span {
	if c.ops.keepAlive.Attached() {
		return c.ops.keepAlive.Run(a)
	}
	return c.keepAliveNative(a)
}

var opKeepAlive = protoops.Define(protoops.Key{Name: "keep_alive_interval", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses after how long a silence a PING is sent",
		Fires:   "when the idle timer is restarted",
		Native:  "the configured interval, at most half the idle timeout; 0 never",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-10.1.2",
	},
	func(c *Conn) *protoops.Slot[NoArg, Span] { return &c.ops.keepAlive },
	(*Conn).keepAliveNative)

func (c *Conn) keepAliveNative(NoArg) Span {
	if c.v.HandshakeConfirmed == 0 {
		return Span{} // until then probe timeouts keep the connection going
	}
	d := c.v.KeepAlive
	if d > 0 && c.v.IdleTimeout > 0 {
		d = min(d, c.v.IdleTimeout/2)
	}
	return Span{d}
}
