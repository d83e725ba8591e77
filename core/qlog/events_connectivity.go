package qlog

import (
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// ConnectionStarted: the endpoint attempts (client) or accepts (server) a
// connection. src is the connection ID chosen by this endpoint, dst the peer's.
func (t *Trace) ConnectionStarted(now mono.Time, local, remote netip.AddrPort, src, dst wire.ConnID) {
	if !t.begin(now, connectionStarted) {
		return
	}
	t.enc.endpoint("local", local, &src)
	t.enc.endpoint("remote", remote, &dst)
	t.end()
}

// endpoint writes a TupleEndpointInfo.
func (e *encoder) endpoint(k string, a netip.AddrPort, id *wire.ConnID) {
	e.object(k)
	e.addrPort(a)
	if id != nil {
		e.array("connection_ids")
		e.connIDValue(*id)
		e.endArray()
	}
	e.endObject()
}

// addrPort writes the fields of an address; none if it is not valid.
func (e *encoder) addrPort(a netip.AddrPort) {
	ip, port := a.Addr().Unmap(), uint64(a.Port())
	switch {
	case ip.Is4():
		e.addr("ip_v4", ip)
		e.uint("port_v4", port)
	case ip.Is6():
		e.addr("ip_v6", ip)
		e.uint("port_v6", port)
	}
}

func (e *encoder) addr(k string, ip netip.Addr) {
	e.key(k)
	if ip.Zone() != "" {
		e.stringValue(ip.String()) // a zone is free text
		return
	}
	e.b = ip.AppendTo(append(e.b, '"'))
	e.b = append(e.b, '"', ',')
}

// ConnectionClosed: a CONNECTION_CLOSE frame was sent (local) or received.
// application tells whose error code it is.
func (t *Trace) ConnectionClosed(now mono.Time, local, application bool, code uint64, reason string) {
	if !t.begin(now, connectionClosed) {
		return
	}
	e := &t.enc
	e.string("initiator", initiator(local))
	if application {
		e.string("application_error", "unknown")
		e.uint("error_code", code)
	} else {
		e.transportError("connection_error", code)
	}
	e.optionalString("reason", reason)
	switch {
	case application:
		e.string("trigger", "application")
	case code != 0:
		e.string("trigger", "error")
	default:
		e.string("trigger", "unspecified")
	}
	t.end()
}

// ConnectionLost: the connection ended without a CONNECTION_CLOSE frame. trigger
// is "idle_timeout", "version_mismatch", "stateless_reset" or "aborted";
// anything else is logged as "unspecified".
func (t *Trace) ConnectionLost(now mono.Time, local bool, trigger, reason string) {
	if !t.begin(now, connectionClosed) {
		return
	}
	t.enc.string("initiator", initiator(local))
	t.enc.optionalString("reason", reason)
	switch trigger {
	case "idle_timeout", "version_mismatch", "stateless_reset", "aborted":
	default:
		trigger = "unspecified"
	}
	t.enc.string("trigger", trigger)
	t.end()
}

func initiator(local bool) string { return choose(local, "local", "remote") }

// ConnectionStateUpdated: see the draft for the names of states, which
// implementations may extend.
func (t *Trace) ConnectionStateUpdated(now mono.Time, old, new string) {
	t.stateUpdated(now, connectionStateUpdated, old, new)
}

// stateUpdated logs an event that has an old and a new state and nothing else.
func (t *Trace) stateUpdated(now mono.Time, ev event, old, state string) {
	if !t.begin(now, ev) {
		return
	}
	t.enc.oldNew(old, state)
	t.end()
}

// ConnectionIDUpdated: an endpoint, this one if local, begins to use another
// connection ID of its own.
func (t *Trace) ConnectionIDUpdated(now mono.Time, local bool, old, new wire.ConnID) {
	if !t.begin(now, connectionIDUpdated) {
		return
	}
	t.enc.string("initiator", initiator(local))
	t.enc.connID("old", old)
	t.enc.connID("new", new)
	t.end()
}

// SpinBitUpdated: the latency spin bit changed.
func (t *Trace) SpinBitUpdated(now mono.Time, state bool) {
	if !t.begin(now, spinBitUpdated) {
		return
	}
	t.enc.bool("state", state)
	t.end()
}

// TupleAssigned says which addresses the tuple called id is about. The tuple of
// path 0 is "", that of another path its number in decimal. Two addresses that
// are not valid mean that the tuple was abandoned.
func (t *Trace) TupleAssigned(now mono.Time, id string, local, remote netip.AddrPort) {
	if !t.begin(now, tupleAssigned) {
		return
	}
	e := &t.enc
	e.string(choose(t.dialect == Qvis, "path_id", "tuple_id"), id)
	if remote.IsValid() {
		e.endpoint(choose(t.dialect == Qvis, "path_remote", "tuple_remote"), remote, nil)
	}
	if local.IsValid() {
		e.endpoint(choose(t.dialect == Qvis, "path_local", "tuple_local"), local, nil)
	}
	t.end()
}

// MTUUpdated: the path's maximum datagram size changed, in bytes. done tells
// that the search for a larger one is over.
func (t *Trace) MTUUpdated(now mono.Time, old, new uint64, done bool) {
	if !t.begin(now, mtuUpdated) {
		return
	}
	if old != 0 {
		t.enc.uint("old", old)
	}
	t.enc.uint("new", new)
	t.enc.bool("done", done)
	t.end()
}

// MigrationStateUpdated: the states are probing_started, probing_abandoned,
// probing_successful, migration_started, migration_abandoned and
// migration_complete.
func (t *Trace) MigrationStateUpdated(now mono.Time, old, new string) {
	t.stateUpdated(now, migrationStateUpdated, old, new)
}
