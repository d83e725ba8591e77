package core

import "github.com/pquic-go/pquic/protoops"

// connOps are the operations of a connection, one slot each; a slot with
// nothing attached costs its nil check. Slots of frame types and transport
// parameters are in frames and params.
type connOps struct {
	table protoops.Table

	acceptMigration        protoops.Slot[RouteArg, Decision]               // accept_migration
	ackFrequencyWanted     protoops.Slot[PathArg, AckFrequencyWish]        // ack_frequency
	ackRangesLimit         protoops.Slot[SpaceArg, Count]                  // ack_ranges_limit
	attachPlugins          protoops.Slot[NoArg, protoops.None]             // attach_plugins
	closePeriod            protoops.Slot[NoArg, Span]                      // close_period
	coalescePackets        protoops.Slot[CoalesceArg, Decision]            // coalesce_packets
	congestionOnAck        protoops.Slot[CongestionAckArg, protoops.None]  // congestion_on_ack
	congestionOnLoss       protoops.Slot[CongestionLossArg, protoops.None] // congestion_on_loss
	congestionOnSent       protoops.Slot[SentArg, protoops.None]           // congestion_on_sent
	congestionOnSpurious   protoops.Slot[PathArg, protoops.None]           // congestion_on_spurious
	congestionWindow       protoops.Slot[PathArg, Size]                    // congestion_window
	connectionClosed       protoops.Slot[CloseArg, protoops.None]          // connection_closed
	connectionError        protoops.Slot[CloseArg, protoops.None]          // connection_error
	connIDRetired          protoops.Slot[ConnIDEvent, protoops.None]       // connection_id_retired
	connIDTarget           protoops.Slot[PathArg, Count]                   // connection_id_target
	connectionStateChanged protoops.Slot[StateChange, protoops.None]       // connection_state_changed
	coreShare              protoops.Slot[NoArg, Count]                     // core_share
	datagramReceived       protoops.Slot[DatagramEvent, protoops.None]     // datagram_received
	earlyDataAcceptable    protoops.Slot[NoArg, Decision]                  // early_data_acceptable
	ecnMark                protoops.Slot[PathArg, Count]                   // ecn_mark
	ecnStateChanged        protoops.Slot[PathArg, protoops.None]           // ecn_state_changed
	estimateBandwidth      protoops.Slot[PathArg, BandwidthSample]         // estimate_bandwidth
	fastRetransmit         protoops.Slot[PathArg, protoops.None]           // fast_retransmit
	nextPluginStream       protoops.Slot[RoomArg, PluginStreamResult]      // find_ready_plugin_stream
	getIncomingPath        protoops.Slot[IncomingArg, PathResult]          // get_incoming_path
	handshakeComplete      protoops.Slot[NoArg, protoops.None]             // handshake_complete
	handshakeConfirmed     protoops.Slot[NoArg, protoops.None]             // handshake_confirmed
	headerParsed           protoops.Slot[ReceivedArg, protoops.None]       // header_parsed
	idleTimeout            protoops.Slot[NoArg, Span]                      // idle_timeout
	isAckNeeded            protoops.Slot[PathArg, Decision]                // is_ack_needed
	isMTUBlackHole         protoops.Slot[PathArg, Decision]                // is_mtu_black_hole
	isRetransmissionNeeded protoops.Slot[LostFrameArg, Decision]           // is_retransmission_needed
	isUnderutilized        protoops.Slot[UtilizationArg, Decision]         // is_underutilized
	keepAlive              protoops.Slot[NoArg, Span]                      // keep_alive_interval
	keyUpdateNeeded        protoops.Slot[NoArg, Decision]                  // key_update_needed
	keyUpdated             protoops.Slot[NoArg, protoops.None]             // key_updated
	localAddressesChanged  protoops.Slot[NoArg, protoops.None]             // local_addresses_changed
	lossDelay              protoops.Slot[PathArg, Span]                    // loss_delay
	lossTimeout            protoops.Slot[PathArg, protoops.None]           // loss_timeout
	maxDataUpdate          protoops.Slot[NoArg, Decision]                  // max_data_update
	maxStreamDataUpdate    protoops.Slot[StreamArg, Decision]              // max_stream_data_update
	maxStreamsUpdate       protoops.Slot[StreamKind, Decision]             // max_streams_update
	mtuProbeSize           protoops.Slot[PathArg, Size]                    // mtu_probe_size
	mtuUpdated             protoops.Slot[MTUEvent, protoops.None]          // mtu_updated
	pacingDeadline         protoops.Slot[PacingArg, Deadline]              // pacing_deadline
	pacingRate             protoops.Slot[PathArg, PacingRate]              // pacing_rate
	packetAborted          protoops.Slot[BuilderArg, protoops.None]        // packet_aborted
	packetAcked            protoops.Slot[PacketArg, protoops.None]         // packet_acked
	packetDropped          protoops.Slot[DropArg, protoops.None]           // packet_dropped
	packetLost             protoops.Slot[PacketArg, protoops.None]         // packet_lost
	packetNumberLength     protoops.Slot[SpaceArg, Count]                  // packet_number_length
	packetReceived         protoops.Slot[ReceivedArg, protoops.None]       // packet_received
	packetSealed           protoops.Slot[PacketArg, protoops.None]         // packet_sealed
	packetThreshold        protoops.Slot[PathArg, Count]                   // packet_threshold
	pathClosed             protoops.Slot[PathArg, protoops.None]           // path_closed
	pathCreated            protoops.Slot[PathArg, protoops.None]           // path_created
	pathSocketError        protoops.Slot[PathArg, Decision]                // path_socket_error
	pathStateChanged       protoops.Slot[PathArg, protoops.None]           // path_state_changed
	pathValidated          protoops.Slot[RouteArg, protoops.None]          // path_validated
	pathValidationFailed   protoops.Slot[RouteArg, protoops.None]          // path_validation_failed
	payloadBuilt           protoops.Slot[BuilderArg, protoops.None]        // payload_built
	payloadReceived        protoops.Slot[ReceivedArg, protoops.None]       // payload_received
	peerAddressChanged     protoops.Slot[RouteArg, protoops.None]          // peer_address_changed
	persistentCongestion   protoops.Slot[PersistentArg, Decision]          // persistent_congestion
	pluginFault            protoops.Slot[FaultArg, protoops.None]          // plugin_fault
	pluginStreamOpened     protoops.Slot[PluginStreamArg, protoops.None]   // plugin_stream_opened
	pluginTimer            protoops.Slot[NoArg, protoops.None]             // plugin_timer
	processAck             protoops.Slot[AckArg, Outcome]                  // process_ack
	ackOfAck               protoops.Slot[AckOfAckArg, protoops.None]       // process_ack_of_ack
	processAckRange        protoops.Slot[AckRangeArg, protoops.None]       // process_ack_range
	ecnCounts              protoops.Slot[ECNArg, ECNVerdict]               // process_ecn_counts
	ptoFired               protoops.Slot[SpaceArg, protoops.None]          // pto_fired
	ptoDuration            protoops.Slot[SpaceArg, Span]                   // pto_period
	ptoProbes              protoops.Slot[SpaceArg, Count]                  // pto_probes
	scheduleFrames         protoops.Slot[BuilderArg, protoops.None]        // schedule_frames
	nextStream             protoops.Slot[RoomArg, StreamResult]            // schedule_next_stream
	selectPath             protoops.Slot[SelectPathArg, PathResult]        // select_path
	sendingDatagrams       protoops.Slot[SendEvent, protoops.None]         // sending_datagrams
	nextWakeTime           protoops.Slot[Deadline, Deadline]               // set_next_wake_time
	skipPacketNumber       protoops.Slot[SpaceArg, Decision]               // skip_packet_number
	spin                   protoops.Slot[PathArg, Decision]                // spin_bit
	spuriousLoss           protoops.Slot[PacketArg, protoops.None]         // spurious_loss
	streamEncodeLength     protoops.Slot[StreamArg, Decision]              // stream_always_encode_length
	streamBytesMax         protoops.Slot[RoomArg, Size]                    // stream_bytes_max
	streamClosed           protoops.Slot[StreamArg, protoops.None]         // stream_closed
	streamOpened           protoops.Slot[StreamArg, protoops.None]         // stream_opened
	streamReset            protoops.Slot[StreamArg, protoops.None]         // stream_reset
	streamStateChanged     protoops.Slot[StreamArg, protoops.None]         // stream_state_changed
	unknownFrame           protoops.Slot[FrameTypeArg, protoops.None]      // unknown_frame
	unknownParameter       protoops.Slot[UnknownParam, protoops.None]      // unknown_transport_parameter
	ackDelay               protoops.Slot[PathArg, Span]                    // update_ack_delay
	updateRTT              protoops.Slot[RTTSample, RTTEstimate]           // update_rtt
	validationTimeout      protoops.Slot[PathArg, Span]                    // validation_timeout
	writeAckOf             protoops.Slot[WriteAckArg, protoops.None]       // write_ack

	frames frameSlots
	params paramSlots
}

// unattached are the operations of every connection that never had a plugin:
// 2 kB that ten thousand idle connections, and the processor's cache, hold
// once. Nothing ever writes to it; see Conn.Operations.
var unattached connOps

// Operations lists every operation of a connection. Attach and Detach are its
// methods; the generated reference pages and headers are made from it.
var Operations = protoops.NewRegistry(append(familyOps(),
	opAcceptMigration,
	opAckFrequencyWanted,
	opAckRangesLimit,
	opAttachPlugins,
	opClosePeriod,
	opCoalescePackets,
	opCongestionOnAck,
	opCongestionOnLoss,
	opCongestionOnSent,
	opCongestionOnSpurious,
	opCongestionWindow,
	opConnectionClosed,
	opConnectionError,
	opConnIDRetired,
	opConnIDTarget,
	opConnectionStateChanged,
	opCoreShare,
	opDatagramReceived,
	opEarlyDataAcceptable,
	opEcnMark,
	opEcnStateChanged,
	opEstimateBandwidth,
	opFastRetransmit,
	opNextPluginStream,
	opGetIncomingPath,
	opHandshakeComplete,
	opHandshakeConfirmed,
	opHeaderParsed,
	opIdleTimeout,
	opIsAckNeeded,
	opIsMTUBlackHole,
	opIsRetransmissionNeeded,
	opIsUnderutilized,
	opKeepAlive,
	opKeyUpdateNeeded,
	opKeyUpdated,
	opLocalAddressesChanged,
	opLossDelay,
	opLossTimeout,
	opMaxDataUpdate,
	opMaxStreamDataUpdate,
	opMaxStreamsUpdate,
	opMtuProbeSize,
	opMtuUpdated,
	opPacingDeadline,
	opPacingRate,
	opPacketAborted,
	opPacketAcked,
	opPacketDropped,
	opPacketLost,
	opPacketNumberLength,
	opPacketReceived,
	opPacketSealed,
	opPacketThreshold,
	opPathClosed,
	opPathCreated,
	opPathSocketError,
	opPathStateChanged,
	opPathValidated,
	opPathValidationFailed,
	opPayloadBuilt,
	opPayloadReceived,
	opPeerAddressChanged,
	opPersistentCongestion,
	opPluginFault,
	opPluginStreamOpened,
	opPluginTimer,
	opProcessAck,
	opAckOfAck,
	opProcessAckRange,
	opEcnCounts,
	opPtoFired,
	opPtoDuration,
	opPtoProbes,
	opScheduleFrames,
	opNextStream,
	opSelectPath,
	opSendingDatagrams,
	opNextWakeTime,
	opSkipPacketNumber,
	opSpin,
	opSpuriousLoss,
	opStreamEncodeLength,
	opStreamBytesMax,
	opStreamClosed,
	opStreamOpened,
	opStreamReset,
	opStreamStateChanged,
	opUnknownFrame,
	opUnknownParameter,
	opAckDelay,
	opUpdateRTT,
	opValidationTimeout,
	opWriteAckOf,
)...)
