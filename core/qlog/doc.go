// Package qlog writes the log of one connection as qlog: one JSON Text Sequence
// (RFC 7464, files named .sqlog) of a header record and one record per event.
//
// It follows draft-ietf-quic-qlog-main-schema-14 and
// draft-ietf-quic-qlog-quic-events-13:
//
//	https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14
//	https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-quic-events-13
//
// A nil *Trace is a connection that is not logged. Its methods do nothing, but
// the engine tests for nil itself, so that arguments are not even computed:
//
//	if c.log != nil {
//		c.log.PacketSent(now, wire.OneRTT, pn, size, ecn, payload)
//	}
//
// Every event is one Write of one whole record to the io.Writer given to New.
// The package keeps no clock, starts nothing and buffers nothing beyond the
// record being composed; whoever owns the writer buffers. A Trace belongs to one
// goroutine. The events of the engine's packet path do not allocate.
//
// # To find X, open Y
//
//   - trace.go: the header, the life of a Trace
//   - names.go: the names of events, in both dialects
//   - events_*.go: one method per event, grouped as the draft groups them
//   - frames.go: how the frames of a packet are logged
//   - json.go: the JSON encoder
//
// # Dialects
//
// qvis as published (checked at its revision of October 2025) opens only files
// that name the older format in the fields qlog_version and qlog_format, so every
// header carries these two besides the drafts' own; tools have to ignore what
// they do not know. Its diagrams moreover look events up by the categories of
// qlog 0.3, such as transport:packet_sent. A Trace of the Qvis dialect writes
// those names and the few fields the diagrams need; everything else is the same.
//
// # Beyond the drafts
//
// Where the drafts allow additional fields, these are used:
//
//   - packet_sent, packet_received: ecn, the codepoint of the packet if it is not
//     Not-ECT; omitted_length, the bytes of payload behind the last frame logged
//     if a packet holds more than 256 frames
//   - ack frames: ranges_omitted, the number of ranges behind the first 256
//   - frames ack_frequency and immediate_ack
//   - parameters_set: min_ack_delay (milliseconds), version_information
//   - packet_dropped, packet_buffered, packet_lost: details.reason, a reason for
//     which the draft has no trigger
//
// Events of plugins are in the namespace "pquic".
//
// # Left out on purpose
//
//   - Packet and stream contents (raw.data), keys, tokens and stateless reset
//     tokens are never logged. Where the schema requires a reset token, in
//     preferred_address, it is written as zeros.
//   - Header fields that the events do not hold: connection IDs, spin bit, key
//     phase and packet number length have events of their own or are the same
//     for every packet.
//   - Events of HTTP/3 (draft-ietf-quic-qlog-h3-events) belong to the
//     application; Generic writes them.
package qlog
