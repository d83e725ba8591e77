package core

import (
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// The view structs hold the state that plugins may see. They are pointer-free,
// their fields have fixed widths, and they are embedded in the engine's own
// objects: the engine reads and writes the very same words, so a plugin's read
// is one load and nothing is copied. The tags are the single source of the
// generated C header, reference page and machine-readable ABI: name, unit,
// rights (r: read only; rw: a plugin that replaces an operation may write it)
// and the legal range of a write. See fields.go.

// ConnView is the visible state of a connection.
type ConnView struct {
	Version              uint32        `op:"version" doc:"QUIC version in use"`
	OriginalVersion      uint32        `op:"original_version" doc:"version of the client's first packet"`
	IsServer             uint32        `op:"is_server" doc:"1 on the server's side"`
	State                uint32        `op:"state" doc:"0 handshake, 1 established, 2 confirmed, 3 closing, 4 draining, 5 closed"`
	HandshakeComplete    uint32        `op:"handshake_complete" doc:"TLS handshake complete (RFC 9001 section 4.1.1)"`
	HandshakeConfirmed   uint32        `op:"handshake_confirmed" doc:"handshake confirmed (RFC 9001 section 4.1.2)"`
	PeerParamsReceived   uint32        `op:"peer_params_received" doc:"the peer's transport parameters are known"`
	EarlyDataState       uint32        `op:"early_data_state" doc:"0-RTT: 0 none, 1 offered, 2 accepted, 3 rejected"`
	KeyPhase             uint32        `op:"key_phase" doc:"current key phase bit"`
	Spin                 uint32        `op:"spin" rights:"rw" range:"0:1" doc:"spin bit to send"`
	SpinReceived         uint32        `op:"spin_received" doc:"spin bit of the highest-numbered packet received"`
	SpinEnabled          uint32        `op:"spin_enabled" rights:"rw" range:"0:1" doc:"whether the latency spin bit is used"`
	Paths                uint32        `op:"paths" doc:"number of open paths"`
	HandshakeDoneSent    uint32        `op:"handshake_done_sent" doc:"HANDSHAKE_DONE was sent"`
	HandshakeDoneAcked   uint32        `op:"handshake_done_acked" doc:"HANDSHAKE_DONE was acknowledged"`
	CongestionControl    uint32        `op:"congestion_control" doc:"0 newreno, 1 cubic, 2 bbr"`
	ReservedFrames       uint32        `op:"reserved_frames" doc:"frames of plugins that wait for room"`
	SpinEdges            uint64        `op:"spin_edges" doc:"times the received spin bit changed"`
	SpinEdgeTime         mono.Time     `op:"spin_edge_time" unit:"ns" doc:"when it last changed, 0 never"`
	KeyUpdates           uint64        `op:"key_updates" doc:"completed key updates"`
	StartTime            mono.Time     `op:"start_time" unit:"ns" doc:"creation of the connection"`
	HandshakeTime        mono.Time     `op:"handshake_time" unit:"ns" doc:"completion of the handshake, 0 before"`
	ConfirmedTime        mono.Time     `op:"confirmed_time" unit:"ns" doc:"confirmation of the handshake, 0 before"`
	Now                  mono.Time     `op:"now" unit:"ns" doc:"time of the event being handled"`
	NextWakeTime         mono.Time     `op:"next_wake_time" unit:"ns" doc:"earliest armed timer"`
	LastReceivedTime     mono.Time     `op:"last_received_time" unit:"ns" doc:"last packet processed"`
	LastProgressTime     mono.Time     `op:"last_progress_time" unit:"ns" doc:"last time the peer acknowledged something new"`
	IdleTimeout          time.Duration `op:"idle_timeout" unit:"ns" rights:"rw" range:"0:3600000000000" doc:"effective idle timeout, 0 none"`
	KeepAlive            time.Duration `op:"keep_alive_interval" unit:"ns" rights:"rw" range:"0:3600000000000" doc:"PING after this long in silence, 0 off"`
	LocalError           uint64        `op:"local_error" doc:"transport error code we raised"`
	RemoteError          uint64        `op:"remote_error" doc:"transport error code the peer raised"`
	ApplicationError     uint64        `op:"application_error" doc:"application error code of our close"`
	RemoteAppError       uint64        `op:"remote_application_error" doc:"application error code of the peer's close"`
	OffendingFrameType   uint64        `op:"offending_frame_type" doc:"frame type named by the close"`
	PacketsSent          uint64        `op:"packets_sent" doc:"packets sealed"`
	PacketsReceived      uint64        `op:"packets_received" doc:"packets opened"`
	PacketsLost          uint64        `op:"packets_lost" doc:"packets declared lost"`
	PacketsSpurious      uint64        `op:"packets_spurious" doc:"packets declared lost, then acknowledged"`
	PacketsDuplicate     uint64        `op:"packets_duplicate" doc:"packets received more than once"`
	PacketsUndecryptable uint64        `op:"packets_undecryptable" doc:"packets that failed authentication or had no key yet"`
	PacketsRetransmitted uint64        `op:"packets_retransmitted" doc:"packets that carried a range sent before"`
	DatagramsSent        uint64        `op:"datagrams_sent" doc:"UDP datagrams sent"`
	DatagramsReceived    uint64        `op:"datagrams_received" doc:"UDP datagrams received"`
	BytesSent            uint64        `op:"bytes_sent" unit:"bytes" doc:"UDP payload bytes sent"`
	BytesReceived        uint64        `op:"bytes_received" unit:"bytes" doc:"UDP payload bytes received"`
	ChallengesSent       uint64        `op:"path_challenges_sent" doc:"PATH_CHALLENGE frames sent"`
	ResponsesReceived    uint64        `op:"path_responses_received" doc:"PATH_RESPONSE frames received that matched"`
	ZeroRTTSent          uint64        `op:"zero_rtt_sent" doc:"0-RTT packets sent"`
	ZeroRTTAcked         uint64        `op:"zero_rtt_acked" doc:"0-RTT packets acknowledged"`
	PTOs                 uint64        `op:"ptos" doc:"probe timeouts that fired"`
	FastRetransmits      uint64        `op:"fast_retransmits" doc:"loss detections by an acknowledgment"`
	LossTimeouts         uint64        `op:"loss_timeouts" doc:"loss detections by the time threshold timer"`
	DataSent             uint64        `op:"data_sent" unit:"bytes" doc:"stream bytes sent for the first time (flow-control charge)"`
	DataReceived         uint64        `op:"data_received" unit:"bytes" doc:"sum of the highest stream offsets received"`
	MaxDataLocal         uint64        `op:"max_data_local" unit:"bytes" doc:"connection credit granted to the peer"`
	MaxDataRemote        uint64        `op:"max_data_remote" unit:"bytes" doc:"connection credit granted by the peer"`
	MaxStreamsBidiLocal  uint64        `op:"max_streams_bidi_local" doc:"bidirectional streams the peer may open"`
	MaxStreamsUniLocal   uint64        `op:"max_streams_uni_local" doc:"unidirectional streams the peer may open"`
	MaxStreamsBidiRemote uint64        `op:"max_streams_bidi_remote" doc:"bidirectional streams we may open"`
	MaxStreamsUniRemote  uint64        `op:"max_streams_uni_remote" doc:"unidirectional streams we may open"`
	StreamsOpenedBidi    uint64        `op:"streams_opened_bidi" doc:"bidirectional streams we opened"`
	StreamsOpenedUni     uint64        `op:"streams_opened_uni" doc:"unidirectional streams we opened"`
	StreamsAcceptedBidi  uint64        `op:"streams_accepted_bidi" doc:"bidirectional streams the peer opened"`
	StreamsAcceptedUni   uint64        `op:"streams_accepted_uni" doc:"unidirectional streams the peer opened"`
	StreamsOpen          uint64        `op:"streams_open" doc:"streams whose state is held now"`
	RetryTokenLength     uint64        `op:"retry_token_length" unit:"bytes" doc:"length of the address-validation token in the client's Initial"`
	UnknownParams        uint64        `op:"unknown_params" doc:"unknown transport parameters received"`
	LocalParams          ParamsView    `op:"local_param" doc:"our transport parameters"`
	RemoteParams         ParamsView    `op:"remote_param" doc:"the peer's transport parameters"`
	OriginalID           ConnIDView    `op:"original_connection_id" doc:"Destination Connection ID of the client's first Initial"`
}

// ConnIDView is a connection ID as plugins see it.
type ConnIDView struct {
	Bytes  [20]byte `op:"" doc:"the connection ID, zeros after its end"`
	Length uint32   `op:"length" unit:"bytes" doc:"its length"`
}

func connIDView(id wire.ConnID) (v ConnIDView) {
	v.Length = uint32(len(id.AppendTo(v.Bytes[:0])))
	return v
}

// ParamsView holds the scalar transport parameters.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
type ParamsView struct {
	MaxIdleTimeout          uint64 `op:"max_idle_timeout" unit:"ms" doc:"0x01"`
	MaxUDPPayloadSize       uint64 `op:"max_udp_payload_size" unit:"bytes" doc:"0x03"`
	InitialMaxData          uint64 `op:"initial_max_data" unit:"bytes" doc:"0x04"`
	StreamDataBidiLocal     uint64 `op:"initial_max_stream_data_bidi_local" unit:"bytes" doc:"0x05"`
	StreamDataBidiRemote    uint64 `op:"initial_max_stream_data_bidi_remote" unit:"bytes" doc:"0x06"`
	StreamDataUni           uint64 `op:"initial_max_stream_data_uni" unit:"bytes" doc:"0x07"`
	StreamsBidi             uint64 `op:"initial_max_streams_bidi" doc:"0x08"`
	StreamsUni              uint64 `op:"initial_max_streams_uni" doc:"0x09"`
	AckDelayExponent        uint64 `op:"ack_delay_exponent" doc:"0x0a"`
	MaxAckDelay             uint64 `op:"max_ack_delay" unit:"ms" doc:"0x0b"`
	DisableActiveMigration  uint64 `op:"disable_active_migration" doc:"0x0c"`
	ActiveConnectionIDLimit uint64 `op:"active_connection_id_limit" doc:"0x0e"`
	GreaseQUICBit           uint64 `op:"grease_quic_bit" doc:"0x2ab2, RFC 9287"`
	MinAckDelay             uint64 `op:"min_ack_delay" unit:"us" doc:"ack-frequency extension, 0 absent"`
	ResetStreamAt           uint64 `op:"reset_stream_at" doc:"RESET_STREAM_AT extension"`
}

// PathView is the visible state of a path: in plain QUIC the one path 0, with
// the multipath extension any number of them.
type PathView struct {
	ID                uint64          `op:"id" doc:"path ID; 0 is the path of the handshake"`
	State             uint32          `op:"state" doc:"0 unvalidated, 1 validating, 2 active, 3 standby, 4 suspended, 5 closed"`
	LocalIfIndex      uint32          `op:"if_index_local" doc:"interface index of the local address, 0 unknown"`
	LocalIPHigh       uint64          `op:"local_ip_high" doc:"local address, IPv6 form, network order, first half"`
	LocalIPLow        uint64          `op:"local_ip_low" doc:"second half"`
	RemoteIPHigh      uint64          `op:"remote_ip_high" doc:"peer's address, IPv6 form, first half"`
	RemoteIPLow       uint64          `op:"remote_ip_low" doc:"second half"`
	LocalPort         uint32          `op:"local_port" doc:"local UDP port"`
	RemotePort        uint32          `op:"remote_port" doc:"peer's UDP port"`
	RTT               recovery.RTT    `op:"" doc:"round-trip estimates (RFC 9002 section 5)"`
	Congestion        congestion.View `op:"" doc:"congestion state (RFC 9002 section 7)"`
	Pacer             recovery.Pacer  `op:"pacer" doc:"token bucket of the pacer"`
	PTOCount          uint64          `op:"pto_count" doc:"consecutive probe timeouts"`
	MTU               uint64          `op:"mtu" unit:"bytes" doc:"UDP payload size in use"`
	MTUProbed         uint64          `op:"mtu_probed" unit:"bytes" doc:"size of the probe in flight, 0 none"`
	MTUCeiling        uint64          `op:"mtu_ceiling" unit:"bytes" doc:"largest size still worth probing"`
	MTUProbesSent     uint64          `op:"mtu_probes_sent" doc:"path MTU probes sent"`
	MTUBlackholes     uint64          `op:"mtu_black_holes" doc:"times the size fell back to the base"`
	MaxAckDelay       time.Duration   `op:"max_ack_delay" unit:"ns" doc:"how long the peer may delay an acknowledgment"`
	AckDelay          time.Duration   `op:"ack_delay" unit:"ns" rights:"rw" range:"0:16000000000" doc:"how long we delay acknowledgments"`
	AckThreshold      uint64          `op:"ack_eliciting_threshold" rights:"rw" range:"1:1000" doc:"ack-eliciting packets received before an immediate acknowledgment"`
	ReorderThreshold  uint64          `op:"reordering_threshold" rights:"rw" range:"0:1000" doc:"gap that provokes an immediate acknowledgment, 0 none"`
	PacketThreshold   uint64          `op:"packet_threshold" rights:"rw" range:"3:100000" doc:"kPacketThreshold (RFC 9002 section 6.1.1)"`
	MaxReorderGap     uint64          `op:"max_reorder_gap" doc:"largest reordering seen, packets"`
	MaxReorderDelay   time.Duration   `op:"max_reorder_delay" unit:"ns" doc:"longest a packet arrived after a higher-numbered one"`
	MaxSpuriousRTT    time.Duration   `op:"max_spurious_rtt" unit:"ns" doc:"largest delay of an acknowledgment after its packet was declared lost"`
	PacketsSent       uint64          `op:"packets_sent" doc:"packets sent on this path"`
	PacketsReceived   uint64          `op:"packets_received" doc:"packets received on this path"`
	PacketsLost       uint64          `op:"packets_lost" doc:"packets declared lost on this path"`
	PacketsSpurious   uint64          `op:"packets_spurious" doc:"lost, then acknowledged"`
	BytesSent         uint64          `op:"bytes_sent" unit:"bytes" doc:"UDP payload bytes sent on this path"`
	BytesReceived     uint64          `op:"bytes_received" unit:"bytes" doc:"UDP payload bytes received on this path"`
	BytesAcked        uint64          `op:"bytes_acked" unit:"bytes" doc:"bytes of acknowledged packets"`
	BytesLost         uint64          `op:"bytes_lost" unit:"bytes" doc:"bytes of lost packets"`
	Challenges        uint64          `op:"challenges" doc:"PATH_CHALLENGE transmissions of the running validation"`
	ChallengeTime     mono.Time       `op:"challenge_time" unit:"ns" doc:"last PATH_CHALLENGE sent"`
	ResponsesSent     uint64          `op:"responses_sent" doc:"PATH_RESPONSE frames sent"`
	LossDeadline      mono.Time       `op:"loss_deadline" unit:"ns" doc:"when the time threshold or the probe timeout fires, 0 not armed"`
	Validated         uint32          `op:"validated" doc:"the peer's address is validated"`
	ECNState          uint32          `op:"ecn_state" doc:"0 off, 1 testing, 2 unknown, 3 capable, 4 failed (RFC 9000 section 13.4.2)"`
	ECNCE             uint64          `op:"ecn_ce" doc:"CE marks the peer reported"`
	BandwidthEstimate uint64          `op:"bandwidth_estimate" unit:"bytes/s" doc:"latest delivery-rate sample"`
	LastSentTime      mono.Time       `op:"last_sent_time" unit:"ns" doc:"last ack-eliciting packet sent"`
	LastReceivedTime  mono.Time       `op:"last_received_time" unit:"ns" doc:"last packet received"`
	LocalIDs          uint32          `op:"local_connection_ids" doc:"connection IDs we have issued for the path and the peer has not retired"`
	RemoteIDs         uint32          `op:"remote_connection_ids" doc:"connection IDs the peer has issued for the path and we have not retired"`
	RemoteIDSequence  uint64          `op:"remote_connection_id_sequence" doc:"sequence number of the peer's connection ID in use"`
	RemoteID          ConnIDView      `op:"remote_connection_id" doc:"the peer's connection ID in use"`
	LocalID           ConnIDView      `op:"local_connection_id" doc:"our oldest connection ID for the path"`
	Space             SpaceView       `op:"space" doc:"the path's packet number space"`
}

// SpaceView is the visible state of a packet number space.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
type SpaceView struct {
	NextNumber          uint64    `op:"next_number" doc:"packet number the next packet gets"`
	LargestReceived     uint64    `op:"largest_received" doc:"highest packet number received"`
	LargestReceivedTime mono.Time `op:"largest_received_time" unit:"ns" doc:"when it was received, 0 never"`
	LargestAcked        uint64    `op:"largest_acked" doc:"highest of our numbers the peer acknowledged"`
	LargestAckedTime    mono.Time `op:"largest_acked_time" unit:"ns" doc:"when, 0 never"`
	AckElicitingPending uint64    `op:"ack_eliciting_pending" doc:"ack-eliciting packets received and not yet acknowledged"`
	AckDeadline         mono.Time `op:"ack_deadline" unit:"ns" doc:"when the delayed acknowledgment is due, 0 none pending"`
	AckNow              uint32    `op:"ack_now" rights:"rw" range:"0:1" doc:"an immediate acknowledgment is wanted"`
	AcksSent            uint32    `op:"acks_sent" doc:"ACK frames sent, modulo 2^32"`
	LargestAckSent      uint64    `op:"largest_ack_sent" doc:"highest number our last ACK covered"`
	OldestNumber        uint64    `op:"oldest_number" doc:"lowest packet number whose packet is still remembered, next_number if none"`
	LastLossTime        mono.Time `op:"last_loss_time" unit:"ns" doc:"when a packet was last declared lost or a probe timeout fired, 0 never"`
	LastAckTime         mono.Time `op:"last_ack_time" unit:"ns" doc:"when our last ACK was sent"`
	ECT0Received        uint64    `op:"ect0_received" doc:"packets received with ECT(0)"`
	ECT1Received        uint64    `op:"ect1_received" doc:"packets received with ECT(1)"`
	CEReceived          uint64    `op:"ce_received" doc:"packets received with CE"`
	ECT0Reported        uint64    `op:"ect0_reported" doc:"ECT(0) count in the peer's last ACK"`
	ECT1Reported        uint64    `op:"ect1_reported" doc:"ECT(1) count in the peer's last ACK"`
	CEReported          uint64    `op:"ce_reported" doc:"CE count in the peer's last ACK"`
	ECT0Sent            uint64    `op:"ect0_sent" doc:"packets sent with ECT(0)"`
	Retransmits         uint64    `op:"retransmits" doc:"packets of this space declared lost"`
	PTOProbes           uint32    `op:"pto_probes" doc:"probe packets still to send"`
	Discarded           uint32    `op:"discarded" doc:"keys and state discarded"`
}

// StreamView is the visible state of a stream that belongs to neither half.
type StreamView struct {
	ID            uint64    `op:"id" doc:"stream ID"`
	Urgency       uint32    `op:"urgency" doc:"RFC 9218 urgency, 0 first to 7"`
	Incremental   uint32    `op:"incremental" doc:"RFC 9218 incremental"`
	Weight        uint32    `op:"weight" doc:"weight for the weighted scheduler, 1 to 256"`
	Early         uint32    `op:"early" doc:"bytes arrived in 0-RTT and may be replayed"`
	OpenTime      mono.Time `op:"open_time" unit:"ns" doc:"when the stream was opened"`
	ResetCode     uint64    `op:"reset_code" doc:"application code of our RESET_STREAM"`
	StopCode      uint64    `op:"stop_code" doc:"application code of our STOP_SENDING"`
	PeerResetCode uint64    `op:"peer_reset_code" doc:"code of the peer's RESET_STREAM"`
	PeerStopCode  uint64    `op:"peer_stop_code" doc:"code of the peer's STOP_SENDING"`
	Flags         uint64    `op:"flags" doc:"bit 0 fin queued, 1 fin sent, 2 fin received, 3 reset queued, 4 reset sent, 5 reset received, 6 stop queued, 7 stop sent, 8 stop received, 9 window update queued"`
	Consumed      uint64    `op:"consumed_offset" unit:"bytes" doc:"received bytes the application has read or that were discarded, as credited to the peer"`
}

// ReceivedView is the visible state of the packet being processed.
type ReceivedView struct {
	Number        uint64 `op:"number" doc:"packet number"`
	PathID        uint64 `op:"path_id" doc:"path it arrived on"`
	Size          uint32 `op:"size" unit:"bytes" doc:"header and AEAD expansion included; of an injected payload, the payload alone"`
	HeaderLength  uint32 `op:"header_length" unit:"bytes" doc:"bytes before the payload, 0 of an injected payload"`
	PayloadLength uint32 `op:"payload_length" unit:"bytes" doc:"bytes of its frames"`
	Type          uint32 `op:"type" doc:"packet type: 0 Initial, 1 0-RTT, 2 Handshake, 3 Retry, 4 1-RTT"`
	Level         uint32 `op:"level" doc:"encryption level: 0 Initial, 1 0-RTT, 2 Handshake, 3 1-RTT"`
	ECN           uint32 `op:"ecn" doc:"ECN codepoint: 0 none, 1 ECT(1), 2 ECT(0), 3 CE"`
	Injected      uint32 `op:"injected" doc:"a plugin recovered the payload; the packet itself never arrived"`
	_             uint32
}

// BuilderView is the visible state of the packet being built.
type BuilderView struct {
	Number       uint64 `op:"number" doc:"packet number it will get"`
	PathID       uint64 `op:"path_id" doc:"path it will take"`
	Limit        uint32 `op:"limit" unit:"bytes" doc:"most bytes the datagram may have"`
	Offset       uint32 `op:"offset" unit:"bytes" doc:"bytes of the datagram before this packet"`
	HeaderLength uint32 `op:"header_length" unit:"bytes" doc:"bytes before the frames"`
	Overhead     uint32 `op:"overhead" unit:"bytes" doc:"AEAD expansion after the frames"`
	Level        uint32 `op:"level" doc:"encryption level: 0 Initial, 1 0-RTT, 2 Handshake, 3 1-RTT"`
	_            uint32
}
