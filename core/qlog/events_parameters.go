package qlog

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// paramMaxDatagramFrameSize has a field of its own in the schema, though the
// engine itself does not know it.
// https://www.rfc-editor.org/rfc/rfc9221#section-3
const paramMaxDatagramFrameSize = 0x20

// ParametersSet logs the transport parameters that this endpoint (local) or its
// peer declared. It also tells the trace how each scales its ACK delays.
func (t *Trace) ParametersSet(now mono.Time, local bool, tp *wire.TransportParameters) {
	if !t.begin(now, parametersSet) {
		return
	}
	exponent := uint8(min(tp.AckDelayExponent, wire.MaxAckDelayExponent))
	if local {
		t.localAckDelayExponent = exponent
	} else {
		t.remoteAckDelayExponent = exponent
	}
	e := &t.enc
	e.string("initiator", initiator(local))
	if t.dialect == Qvis {
		e.string("owner", initiator(local))
	}
	e.optionalConnID("original_destination_connection_id", tp.OriginalDestinationConnectionID, tp.HasOriginalDestinationConnectionID)
	e.optionalConnID("initial_source_connection_id", tp.InitialSourceConnectionID, tp.HasInitialSourceConnectionID)
	e.optionalConnID("retry_source_connection_id", tp.RetrySourceConnectionID, tp.HasRetrySourceConnectionID)
	e.uint("ack_delay_exponent", tp.AckDelayExponent)
	e.uint("max_ack_delay", wholeMilliseconds(tp.MaxAckDelay))
	e.limits(tp)
	if tp.HasPreferredAddress {
		e.preferredAddress(&tp.PreferredAddress)
	}
	e.bool("reset_stream_at", tp.ResetStreamAt)
	e.bool("grease_quic_bit", tp.GreaseQUICBit)
	if tp.HasMinAckDelay {
		e.milliseconds("min_ack_delay", tp.MinAckDelay)
	}
	if tp.HasVersionInformation {
		e.object("version_information")
		e.key("chosen_version")
		e.version(tp.VersionInformation.Chosen)
		e.versions("available_versions", tp.VersionInformation.Available)
		e.endObject()
	}
	e.unknownParameters(tp.Unknown)
	t.end()
}

// ParametersRestored logs the server's parameters that a client remembered for
// 0-RTT.
func (t *Trace) ParametersRestored(now mono.Time, tp *wire.TransportParameters) {
	if !t.begin(now, parametersRestored) {
		return
	}
	t.enc.limits(tp)
	t.end()
}

// limits writes the parameters that both events have.
func (e *encoder) limits(tp *wire.TransportParameters) {
	e.bool("disable_active_migration", tp.DisableActiveMigration)
	e.uint("max_idle_timeout", wholeMilliseconds(tp.MaxIdleTimeout))
	e.uint("max_udp_payload_size", tp.MaxUDPPayloadSize)
	e.uint("active_connection_id_limit", tp.ActiveConnectionIDLimit)
	e.uint("initial_max_data", tp.InitialMaxData)
	e.uint("initial_max_stream_data_bidi_local", tp.InitialMaxStreamDataBidiLocal)
	e.uint("initial_max_stream_data_bidi_remote", tp.InitialMaxStreamDataBidiRemote)
	e.uint("initial_max_stream_data_uni", tp.InitialMaxStreamDataUni)
	e.uint("initial_max_streams_bidi", tp.InitialMaxStreamsBidi)
	e.uint("initial_max_streams_uni", tp.InitialMaxStreamsUni)
}

func (e *encoder) optionalConnID(k string, c wire.ConnID, has bool) {
	if has {
		e.connID(k, c)
	}
}

func (e *encoder) preferredAddress(p *wire.PreferredAddress) {
	e.object("preferred_address")
	e.addrPort(p.IPv4)
	e.addrPort(p.IPv6)
	e.connID("connection_id", p.ConnID)
	// The schema requires the token, which is a secret.
	var redacted [wire.ResetTokenLen]byte
	e.hex("stateless_reset_token", redacted[:])
	e.endObject()
}

// unknownParameters writes the parameters that the engine does not know: most
// are for plugins, or reserved.
func (e *encoder) unknownParameters(list []wire.RawParameter) {
	if len(list) == 0 {
		return
	}
	e.array("unknown_parameters")
	for i := range list {
		e.object("")
		e.uint("id", list[i].ID)
		e.hex("value", list[i].Value[:min(len(list[i].Value), maxText)])
		e.endObject()
	}
	e.endArray()
	for i := range list {
		if list[i].ID != paramMaxDatagramFrameSize {
			continue
		}
		if v, n := wire.ParseVarint(list[i].Value); n != 0 {
			e.uint("max_datagram_frame_size", v)
		}
		return
	}
}

// RecoveryParameters are the constants of loss detection and congestion control.
// Fields that are 0 are not logged, except TimerGranularity.
// https://www.rfc-editor.org/rfc/rfc9002#appendix-A.2
type RecoveryParameters struct {
	ReorderingThreshold           uint16        // packets
	TimerGranularity              time.Duration // logged in whole milliseconds
	InitialRTT                    time.Duration
	MaxDatagramSize               uint32 // bytes
	InitialCongestionWindow       uint64 // bytes
	MinimumCongestionWindow       uint64 // bytes
	PersistentCongestionThreshold uint16 // probe timeouts
}

// RecoveryParametersSet logs p, once per connection.
func (t *Trace) RecoveryParametersSet(now mono.Time, p RecoveryParameters) {
	if !t.begin(now, recoveryParametersSet) {
		return
	}
	e := &t.enc
	e.optionalUint("reordering_threshold", uint64(p.ReorderingThreshold))
	e.uint("timer_granularity", min(wholeMilliseconds(p.TimerGranularity), 1<<16-1))
	if p.InitialRTT > 0 {
		e.milliseconds("initial_rtt", p.InitialRTT)
	}
	e.optionalUint("max_datagram_size", uint64(p.MaxDatagramSize))
	e.optionalUint("initial_congestion_window", p.InitialCongestionWindow)
	e.optionalUint("minimum_congestion_window", p.MinimumCongestionWindow)
	e.optionalUint("persistent_congestion_threshold", uint64(p.PersistentCongestionThreshold))
	t.end()
}

func (e *encoder) optionalUint(k string, v uint64) {
	if v != 0 {
		e.uint(k, v)
	}
}
