package core

import (
	"bytes"
	"crypto/tls"

	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// 0-RTT binds what both sides remember: a ticket carries the server's transport
// parameters (and whatever TicketBinding adds, such as the set of plugins), and
// early data is refused when they no longer hold.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1

// ticketPrefix marks our entry among the extras of a session ticket.
var ticketPrefix = []byte("pquic1:")

// sendTicket sends the client a session ticket.
func (c *Conn) sendTicket() error {
	extra := append([]byte(nil), ticketPrefix...)
	extra = append(extra, c.ticketBinding()...)
	err := c.tls.conn.SendSessionTicket(tls.QUICSessionTicketOptions{EarlyData: c.config.Allow0RTT, Extra: [][]byte{extra}})
	if err != nil {
		return c.tlsError(err)
	}
	return nil // drainTLS collects the ticket
}

// ticketBinding is what a ticket depends on: the limits the client may use and
// the names of attached plugins.
func (c *Conn) ticketBinding() []byte {
	r := c.localParams.Remembered()
	b := r.Append(nil, true)
	for _, a := range c.ops.table.Attachments() {
		b = append(append(b, 0), a.Plugin().Name...)
	}
	return b
}

// resumeSession judges a session: on a server whether its early data may be
// accepted, on a client which limits it may be sent under.
func (c *Conn) resumeSession(s *tls.SessionState) {
	if c.IsServer() {
		if !s.EarlyData {
			return
		}
		if err := c.prepareParams(); err != nil {
			s.EarlyData = false
			return
		}
		want := c.ticketBinding()
		ok := false
		for _, x := range s.Extra {
			if rest, found := bytes.CutPrefix(x, ticketPrefix); found && bytes.Equal(rest, want) {
				ok = true
			}
		}
		if !ok || !c.config.Allow0RTT || !c.earlyDataAcceptable(NoArg{}).Yes {
			s.EarlyData = false
			return
		}
		c.v.EarlyDataState = 2
		return
	}
	for _, x := range s.Extra {
		rest, found := bytes.CutPrefix(x, ticketPrefix)
		if !found {
			continue
		}
		if tp, err := wire.ParseTransportParameters(rest, true); err == nil {
			c.handshake.remembered = &tp
			return
		}
	}
	s.EarlyData = false
}

// earlyDataAcceptable decides whether a server accepts early data whose ticket is valid. Operation "early_data_acceptable".
func (c *Conn) earlyDataAcceptable(a NoArg) Decision {
	if c.ops.earlyDataAcceptable.Attached() {
		return c.ops.earlyDataAcceptable.Run(a)
	}
	return c.earlyDataAcceptableNative(a)
}

var opEarlyDataAcceptable = protoops.Define(protoops.Key{Name: "early_data_acceptable", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a server accepts early data whose ticket is valid",
		Fires:   "once per resumption with early data",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9001#section-4.6.2",
	},
	func(c *Conn) *protoops.Slot[NoArg, Decision] { return &c.ops.earlyDataAcceptable },
	(*Conn).earlyDataAcceptableNative)

func (c *Conn) earlyDataAcceptableNative(NoArg) Decision { return Decision{true} }

// storeSession remembers the server's limits beside the client's session.
func (c *Conn) storeSession(s *tls.SessionState) {
	if c.peerParams != nil {
		r := c.peerParams.Remembered()
		s.Extra = append(s.Extra, append(append([]byte(nil), ticketPrefix...), r.Append(nil, true)...))
	}
	_ = c.tls.conn.StoreSession(s)
	c.tls.stored = true
}

// rejectEarlyData starts over: the server has discarded all 0-RTT packets.
//
// "When 0-RTT is rejected, all connection characteristics that the client
// assumed might be incorrect … the client MUST reset the state of all streams".
// https://www.rfc-editor.org/rfc/rfc9001#section-4.6.2
func (c *Conn) rejectEarlyData() {
	c.v.EarlyDataState = 3
	c.handshake.remembered = nil
	c.keys[levelEarly] = levelKeys{}
	s := &c.path0.space
	if s.sent.Len() > 0 {
		last := s.sent.Next() - 1
		for pn, ok := s.sent.NextOutstanding(s.sent.First(), last); ok; pn, ok = s.sent.NextOutstanding(pn+1, last) {
			p := s.sent.Get(pn)
			if n := uint64(p.Size); p.Flags&recovery.InFlight != 0 {
				c.path0.Congestion.BytesInFlight -= min(n, c.path0.Congestion.BytesInFlight)
				c.path0.cc.OnDiscarded(&c.path0.Congestion, n)
			}
			p.Data.release()
			s.sent.Settle(p, recovery.Lost)
		}
	}
	v := &c.v
	v.MaxDataRemote, v.MaxStreamsBidiRemote, v.MaxStreamsUniRemote, v.DataSent = 0, 0, 0, 0
	v.RemoteParams = ParamsView{ActiveConnectionIDLimit: 2}
	for _, st := range c.streams.sorted() {
		if st.sendHalf != nil {
			// The application's bytes are still in the FIFO: they are sent again
			// in 1-RTT, which is what an application that opted into early data
			// for replay-safe requests wants.
			st.sendHalf.Rewind(0)
			c.streams.sched.Idle(&st.entry)
			if st.sendHalf.ResetRequested != 0 {
				st.pend |= pendReset
			}
		}
		if st.Flags&flagStopQueued != 0 {
			st.pend |= pendStop
		}
		st.inCtl, st.next, st.blockedAt = false, nil, 0
	}
	c.streams.ctlHead, c.streams.ctlTail = nil, nil
	c.flow.sentBlocked = 0
	if c.peerParams != nil {
		// The parameters of this handshake came with the rejection.
		c.applyParams(c.peerParams)
		c.streams.release()
	}
	if c.handler != nil {
		c.handler.EarlyDataRejected(c)
	}
}
