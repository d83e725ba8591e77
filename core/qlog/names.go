package qlog

// A Dialect is the set of names a Trace uses.
type Dialect uint8

const (
	// Drafts names events and fields as the drafts do.
	Drafts Dialect = iota
	// Qvis names events as qlog 0.3 did, by category, and adds the fields that
	// the diagrams of qvis read: length in stream and crypto frames, owner in
	// parameters_set.
	Qvis
)

// An event is one of the event types this package names.
type event uint8

const (
	connectionStarted event = iota
	connectionClosed
	connectionIDUpdated
	connectionStateUpdated
	spinBitUpdated
	tupleAssigned
	mtuUpdated
	versionInformation
	alpnInformation
	parametersSet
	parametersRestored
	packetSent
	packetReceived
	packetDropped
	packetBuffered
	packetsAcked
	udpDatagramDropped
	streamStateUpdated
	connectionDataBlockedUpdated
	streamDataBlockedUpdated
	migrationStateUpdated
	timerUpdated
	keyUpdated
	keyDiscarded
	recoveryParametersSet
	recoveryMetricsUpdated
	congestionStateUpdated
	packetLost
	ecnStateUpdated
	eventCount
)

// eventNames are the full names by dialect.
var eventNames = [eventCount][2]string{
	connectionStarted:            {"quic:connection_started", "connectivity:connection_started"},
	connectionClosed:             {"quic:connection_closed", "connectivity:connection_closed"},
	connectionIDUpdated:          {"quic:connection_id_updated", "connectivity:connection_id_updated"},
	connectionStateUpdated:       {"quic:connection_state_updated", "connectivity:connection_state_updated"},
	spinBitUpdated:               {"quic:spin_bit_updated", "connectivity:spin_bit_updated"},
	tupleAssigned:                {"quic:tuple_assigned", "connectivity:path_assigned"},
	mtuUpdated:                   {"quic:mtu_updated", "connectivity:mtu_updated"},
	versionInformation:           {"quic:version_information", "transport:version_information"},
	alpnInformation:              {"quic:alpn_information", "transport:alpn_information"},
	parametersSet:                {"quic:parameters_set", "transport:parameters_set"},
	parametersRestored:           {"quic:parameters_restored", "transport:parameters_restored"},
	packetSent:                   {"quic:packet_sent", "transport:packet_sent"},
	packetReceived:               {"quic:packet_received", "transport:packet_received"},
	packetDropped:                {"quic:packet_dropped", "transport:packet_dropped"},
	packetBuffered:               {"quic:packet_buffered", "transport:packet_buffered"},
	packetsAcked:                 {"quic:packets_acked", "transport:packets_acked"},
	udpDatagramDropped:           {"quic:udp_datagram_dropped", "transport:datagram_dropped"},
	streamStateUpdated:           {"quic:stream_state_updated", "transport:stream_state_updated"},
	connectionDataBlockedUpdated: {"quic:connection_data_blocked_updated", "transport:connection_data_blocked_updated"},
	streamDataBlockedUpdated:     {"quic:stream_data_blocked_updated", "transport:stream_data_blocked_updated"},
	migrationStateUpdated:        {"quic:migration_state_updated", "transport:migration_state_updated"},
	timerUpdated:                 {"quic:timer_updated", "recovery:loss_timer_updated"},
	keyUpdated:                   {"quic:key_updated", "security:key_updated"},
	keyDiscarded:                 {"quic:key_discarded", "security:key_discarded"},
	recoveryParametersSet:        {"quic:recovery_parameters_set", "recovery:parameters_set"},
	recoveryMetricsUpdated:       {"quic:recovery_metrics_updated", "recovery:metrics_updated"},
	congestionStateUpdated:       {"quic:congestion_state_updated", "recovery:congestion_state_updated"},
	packetLost:                   {"quic:packet_lost", "recovery:packet_lost"},
	ecnStateUpdated:              {"quic:ecn_state_updated", "recovery:ecn_state_updated"},
}
