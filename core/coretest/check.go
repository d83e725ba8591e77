package coretest

import (
	"errors"
	"time"

	"github.com/pquic-go/pquic/core"
)

// Finish ends the scenario: connections fall silent, are closed and forgotten,
// and everything is checked that has to hold whatever happened.
func (w *World) Finish() {
	w.TB.Helper()
	w.Up.repair()
	w.Down.repair()
	if w.NAT != nil {
		w.NAT.Stable = true
	}
	w.Settle()
	w.Sim.Finish(w.Client)
}

// repair ends what would keep a link from carrying the last packets.
func (l *Link) repair() {
	l.Down, l.Drop = false, nil
	l.Loss, l.Corrupt, l.Burst = 0, 0, Burst{}
}

// Settle lets what is in flight arrive and checks that both sides then are at
// rest: nothing in flight, no stream held, nothing more sent.
func (w *World) Settle() {
	w.TB.Helper()
	if w.NAT != nil {
		// What a server sends to a binding that is gone is lost until the client
		// speaks again.
		for _, a := range w.Client.Apps {
			if !a.Ended {
				a.Conn.Ping(w.Client.Now())
			}
		}
	}
	rest := func() bool {
		for _, h := range w.hosts {
			for _, a := range h.Apps {
				if !a.Ended && !a.atRest() && !(a.Server && w.deserted(a)) {
					return false
				}
			}
		}
		return true
	}
	w.Until("connections at rest: nothing in flight, no stream held", time.Hour, rest)
	w.Audit()
}

// deserted reports whether the client has left the connection: its
// CONNECTION_CLOSE was lost, and the server learns by the idle timeout.
func (w *World) deserted(server *App) bool {
	for _, a := range w.Client.Apps {
		if a.Conn.ODCID() == server.Conn.ODCID() {
			return a.Ended
		}
	}
	return true
}

func (a *App) atRest() bool {
	for _, p := range a.Conn.Paths() {
		// With a keep-alive shorter than the round trip there is always a PING
		// on its way.
		if n := p.Congestion.BytesInFlight; n > 0 && (a.Conn.View().KeepAlive == 0 || n > 1000) {
			return false
		}
	}
	return a.Conn.OpenStreams() == 0 && len(a.streams) == 0
}

// Audit checks the tables of every endpoint.
func (s *Sim) Audit() {
	s.TB.Helper()
	for _, h := range s.hosts {
		if err := h.Endpoint.Audit(); err != nil {
			s.Fatalf("%s: %v", h.Name, err)
		}
	}
}

// Finish closes all connections from the given host, waits until every host
// has forgotten all of its own, and checks that nothing is left.
func (s *Sim) Finish(closer *Host) {
	s.TB.Helper()
	closer.Endpoint.CloseAll(closer.Now(), 0, "finished")
	s.Until("all connections forgotten", 3*time.Hour, func() bool {
		for _, h := range s.hosts {
			if h.Endpoint.Len() > 0 {
				return false
			}
		}
		return true
	})
	s.Audit()
	for _, h := range s.hosts {
		h.checkEnd()
	}
}

func (h *Host) checkEnd() {
	s := h.sim
	s.TB.Helper()
	for _, a := range h.Apps {
		if !a.Ended || !a.Freed {
			s.Fatalf("%s: application not told of the end: closed %v gone %v", h.Name, a.Ended, a.Freed)
		}
	}
	// A timer that fires without need shows in the count of calls: a handful
	// per datagram and a few per second of silence are the work of pacing,
	// acknowledgments, probes and MTU discovery.
	c := h.counts
	limit := 200 + 4*(c.DatagramsIn+c.DatagramsOut) + 20*uint64(s.Elapsed()/time.Second)
	if c.Advances > limit {
		s.Fatalf("%s: timers fired %d times for %d datagrams in and %d out in %v", h.Name, c.Advances, c.DatagramsIn, c.DatagramsOut, s.Elapsed())
	}
}

// WantClosed fails unless the connection ended with err.
func (a *App) WantClosed(err error) {
	tb := a.host.sim.TB
	tb.Helper()
	if !a.Ended || !errors.Is(a.Err, err) {
		a.host.sim.Fatalf("connection closed %v with %v, want %v", a.Ended, a.Err, err)
	}
}

// WantPeerClosed fails unless the peer closed the connection with a transport
// error.
func (a *App) WantPeerClosed(code core.TransportErrorCode) {
	a.host.sim.TB.Helper()
	var te *core.TransportError
	if !a.Ended || !errors.As(a.Err, &te) || te.Code != code || !te.Remote {
		a.host.sim.Fatalf("connection closed %v with %v, want %v from the peer", a.Ended, a.Err, code)
	}
}
