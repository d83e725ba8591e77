package wire

// A PacketMask is a set of packet types.
type PacketMask uint8

// The sets that RFC 9000, Table 3 uses, written as there: Initial, Handshake,
// 0-RTT, 1-RTT.
const (
	packetsIH01 PacketMask = 1<<Initial | 1<<Handshake | 1<<ZeroRTT | 1<<OneRTT
	packetsIH_1 PacketMask = 1<<Initial | 1<<Handshake | 1<<OneRTT
	packets__01 PacketMask = 1<<ZeroRTT | 1<<OneRTT
	packets___1 PacketMask = 1 << OneRTT
)

// Has reports whether packets of type t are in m.
func (m PacketMask) Has(t PacketType) bool { return m>>t&1 != 0 }

// Facts are what holds for all frames of a type.
// https://www.rfc-editor.org/rfc/rfc9000#table-3
type Facts struct {
	// Packets are the packet types the frame may appear in. It is empty for
	// frame types this package does not know.
	Packets PacketMask
	// AckEliciting frames make the packet that holds them ack-eliciting.
	AckEliciting bool
	// Probing frames may be sent on a path without moving to it; a packet of
	// probing frames alone is a probing packet.
	// https://www.rfc-editor.org/rfc/rfc9000#section-9.1
	Probing bool
	// CongestionControlled frames count towards bytes in flight. A packet
	// without any such frame does not.
	CongestionControlled bool
	// FlowControlled frames carry data under flow control.
	FlowControlled bool
	// ServerOnly frames are sent by servers; a server that receives one closes
	// the connection with PROTOCOL_VIOLATION.
	ServerOnly bool
}

// Known reports whether this package parses the frame type.
func (f Facts) Known() bool { return f.Packets != 0 }

// FactsOf returns the facts of frame type t, and the zero Facts if t is
// unknown.
func FactsOf(t FrameType) Facts {
	if t < FrameType(len(facts)) {
		return facts[t]
	}
	if t == AckFrequency {
		return ordinary(packets___1)
	}
	return Facts{}
}

// ordinary returns the facts of a frame without a mark in the Spec column.
func ordinary(m PacketMask) Facts {
	return Facts{Packets: m, AckEliciting: true, CongestionControlled: true}
}

func probing(m PacketMask) Facts {
	f := ordinary(m)
	f.Probing = true
	return f
}

func serverOnly(m PacketMask) Facts {
	f := ordinary(m)
	f.ServerOnly = true
	return f
}

var (
	ackFacts    = Facts{Packets: packetsIH_1}
	streamFacts = Facts{Packets: packets__01, AckEliciting: true, CongestionControlled: true, FlowControlled: true}
)

var facts = [...]Facts{
	Padding:     {Packets: packetsIH01, Probing: true, CongestionControlled: true},
	Ping:        ordinary(packetsIH01),
	Ack:         ackFacts,
	AckECN:      ackFacts,
	ResetStream: ordinary(packets__01),
	StopSending: ordinary(packets__01),
	Crypto:      ordinary(packetsIH_1),
	// "Clients MUST NOT send NEW_TOKEN frames. A server MUST treat receipt of a
	// NEW_TOKEN frame as a connection error of type PROTOCOL_VIOLATION."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.7
	NewToken:           serverOnly(packets___1),
	Stream:             streamFacts,
	Stream | 1:         streamFacts,
	Stream | 2:         streamFacts,
	Stream | 3:         streamFacts,
	Stream | 4:         streamFacts,
	Stream | 5:         streamFacts,
	Stream | 6:         streamFacts,
	StreamMax:          streamFacts,
	MaxData:            ordinary(packets__01),
	MaxStreamData:      ordinary(packets__01),
	MaxStreamsBidi:     ordinary(packets__01),
	MaxStreamsUni:      ordinary(packets__01),
	DataBlocked:        ordinary(packets__01),
	StreamDataBlocked:  ordinary(packets__01),
	StreamsBlockedBidi: ordinary(packets__01),
	StreamsBlockedUni:  ordinary(packets__01),
	NewConnectionID:    probing(packets__01),
	RetireConnectionID: ordinary(packets__01), // section 12.5 also lets a server refuse it in 0-RTT
	PathChallenge:      probing(packets__01),
	PathResponse:       probing(packets___1),
	// "CONNECTION_CLOSE frames signaling application errors (type 0x1d) MUST only
	// appear in the application data packet number space."
	// https://www.rfc-editor.org/rfc/rfc9000#section-12.5
	//
	// "Packets containing frames besides ACK or CONNECTION_CLOSE frames count
	// toward congestion control limits and are considered to be in flight."
	// https://www.rfc-editor.org/rfc/rfc9002#section-3
	ConnectionClose:  {Packets: packetsIH01},
	ApplicationClose: {Packets: packets__01},
	// "A server MUST treat receipt of a HANDSHAKE_DONE frame as a connection
	// error of type PROTOCOL_VIOLATION."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.20
	HandshakeDone: serverOnly(packets___1),
	// "ACK_FREQUENCY and IMMEDIATE_ACK frames cannot be sent in 0-RTT packets"
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-3
	ImmediateAck: ordinary(packets___1),
	// "MUST only be sent in the application data packet number space"
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset-10#section-4
	ResetStreamAt: ordinary(packets__01),
}
