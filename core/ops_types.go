package core

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// The argument and result types that several operations share. A pluglet sees
// their exported fields in the order given here; fields are pointers to the
// engine's objects, scalars, or bytes the engine keeps.

type (
	// NoArg is the argument of an operation on the connection itself.
	NoArg struct{}

	// PathArg names a path.
	PathArg struct {
		Path *Path `op:"path" doc:"the path"`
	}

	// StreamArg names a stream.
	StreamArg struct {
		Stream *Stream `op:"stream" doc:"the stream"`
	}

	// PacketArg names a sent packet and its path.
	PacketArg struct {
		Path   *Path       `op:"path" doc:"the path it was sent on"`
		Packet *SentPacket `op:"packet" doc:"the sent packet"`
		Level  uint64      `op:"level" doc:"encryption level: 0 Initial, 1 0-RTT, 2 Handshake, 3 1-RTT"`
	}

	// BuilderArg names the packet being built.
	BuilderArg struct {
		Builder *PacketBuilder `op:"builder" doc:"the packet being built"`
		Path    *Path          `op:"path" doc:"the path it will take"`
	}

	// ReceivedArg names the packet being processed.
	ReceivedArg struct {
		Packet *ReceivedPacket `op:"packet" doc:"the packet being processed"`
		Path   *Path           `op:"path" doc:"the path it arrived on"`
	}

	// Decision answers a question.
	Decision struct {
		Yes bool `op:"yes" doc:"the answer"`
	}

	// Count answers with a number of things.
	Count struct {
		Count uint64 `op:"count" doc:"the number"`
	}

	// Size answers with a number of bytes.
	Size struct {
		Bytes uint64 `op:"bytes" unit:"bytes" doc:"the size"`
	}

	// Span answers with a duration.
	Span struct {
		Duration time.Duration `op:"duration" unit:"ns" doc:"the duration"`
	}

	// Deadline answers with an instant.
	Deadline struct {
		Time mono.Time `op:"time" unit:"ns" doc:"the instant; 0 never"`
	}

	// StateChange tells of a move between connection states.
	StateChange struct {
		Old uint64 `op:"old" doc:"state before, as conn.state"`
		New uint64 `op:"new" doc:"state now"`
	}

	// RTTSample is one round-trip measurement.
	RTTSample struct {
		Path     *Path         `op:"path" doc:"the path measured"`
		Latest   time.Duration `op:"latest_rtt" unit:"ns" doc:"time from sending to acknowledgment"`
		AckDelay time.Duration `op:"ack_delay" unit:"ns" doc:"delay the peer reports, already limited to its max_ack_delay"`
	}

	// RTTEstimate is what a sample made of the path's estimate.
	RTTEstimate struct {
		Smoothed time.Duration `op:"smoothed_rtt" unit:"ns" range:"0:60000000000" doc:"new smoothed_rtt, 0 as in the field"`
		Variance time.Duration `op:"rttvar" unit:"ns" range:"0:60000000000" doc:"new rttvar, 0 as in the field"`
		Min      time.Duration `op:"min_rtt" unit:"ns" range:"0:60000000000" doc:"new min_rtt, 0 as in the field"`
	}

	// AckRangeArg is one range of an ACK frame.
	AckRangeArg struct {
		Path *Path  `op:"path" doc:"the path whose packets are acknowledged"`
		Lo   uint64 `op:"lo" doc:"lowest packet number of the range"`
		Hi   uint64 `op:"hi" doc:"highest packet number of the range"`
	}

	// ConnIDEvent tells of a connection ID.
	ConnIDEvent struct {
		Path  *Path  `op:"path" doc:"the path it belongs to"`
		Seq   uint64 `op:"sequence" doc:"its sequence number"`
		Local bool   `op:"local" doc:"issued by us"`
	}

	// RouteArg names an address pair of a path.
	RouteArg struct {
		Path       *Path  `op:"path" doc:"the path"`
		RemoteHigh uint64 `op:"remote_ip_high" doc:"peer's address, IPv6 form, first half"`
		RemoteLow  uint64 `op:"remote_ip_low" doc:"second half"`
		RemotePort uint64 `op:"remote_port" doc:"peer's UDP port"`
		Probing    bool   `op:"probing" doc:"only probing frames arrived from there"`
	}

	// RoomArg asks how much of a stream fits.
	RoomArg struct {
		Stream *Stream `op:"stream" doc:"the stream"`
		Path   *Path   `op:"path" doc:"the path of the packet"`
		Room   uint64  `op:"room" unit:"bytes" doc:"bytes left in the packet for the frame"`
	}

	// CloseArg tells why the connection ends.
	CloseArg struct {
		Code        uint64 `op:"code" doc:"error code"`
		FrameType   uint64 `op:"frame_type" doc:"offending frame type, 0 unknown"`
		Application bool   `op:"application" doc:"the code is the application's"`
		Remote      bool   `op:"remote" doc:"the peer closed"`
	}

	// UnknownParam is a transport parameter no one has claimed.
	UnknownParam struct {
		ID    uint64 `op:"id" doc:"transport parameter ID"`
		Value []byte `op:"value" doc:"its value"`
	}

	// DropArg tells why a packet was dropped.
	DropArg struct {
		Reason uint64 `op:"reason" doc:"0 malformed, 1 no key yet, 2 key discarded, 3 authentication failed, 4 duplicate, 5 wrong version, 6 wrong address, 7 connection ID unknown, 8 connection ending"`
		Bytes  uint64 `op:"bytes" unit:"bytes" doc:"size of the packet"`
	}
)

// Reasons of a dropped packet, DropArg.Reason.
const (
	dropMalformed uint64 = iota
	dropNoKey
	dropKeyDiscarded
	dropAuthentication
	dropDuplicate
	dropVersion
	dropAddress
	dropConnID
	dropEnding
)
