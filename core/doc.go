// Package core is the QUIC engine: a protocol machine without I/O, clock, lock
// or goroutine, cut into named protocol operations that plugins replace,
// observe or add to.
//
// An Endpoint is told of received datagrams and of the time, and asked for
// datagrams to send and for its next deadline; it owns the connections of one
// worker. A Conn is one connection. Whoever owns sockets and clocks (package
// hoststack) drives it; tests drive whole networks of them on virtual time
// (package coretest).
//
// # To find X, open Y
//
//	how a datagram finds its connection       endpoint.go
//	how a client is accepted, Retry, version
//	  negotiation, stateless reset            endpoint_accept.go, version.go
//	how a packet is received                  conn_recv.go, frames.go, frame_*.go
//	  before its keys are there               conn_pending.go
//	how a packet is sent                      conn_send.go, packet_builder.go,
//	                                          packet_finish.go
//	  during the handshake                    conn_send_handshake.go
//	what an acknowledgment does               conn_ack.go, ack_signal.go
//	what becomes of a frame                   frame_fate.go
//	our own acknowledgments                   ack_write.go
//	what happens to a lost packet             conn_loss.go
//	the handshake, 0-RTT, tickets             handshake.go, session.go, params.go
//	key updates                               conn_keys.go
//	streams                                   streams.go, stream_end.go, frame_stream.go
//	flow control                              conn_flow.go
//	connection IDs                            conn_id.go
//	paths, routes, their validation           path.go, path_route.go, path_validation.go
//	migration, preferred address              path_migration.go, path_addresses.go
//	MTU, ECN                                  path_mtu.go, ecn.go
//	how a connection ends                     conn_close.go
//	timers                                    conn_timer.go, timer_heap.go
//	every named operation                     ops.go (and docs/operations.md)
//	every field a plugin may see              views.go, fields.go
//	what plugins may do beyond operations     plugin.go, path_open.go
//	  frames, their turn, room in packets     plugin_frames.go, plugin_reserve.go, plugin_room.go
//	  what is negotiated, timers, streams     plugin_offer.go, plugin_timer.go, plugin_stream.go
//
// The folders below are leaves that know no connection: wire (encoding),
// protection (packet protection), recovery (sent and received packets, RTT,
// pacing), congestion (controllers), stream (FIFOs, halves, schedulers), token,
// connid, qlog, mono (time).
//
// # Standards
//
// RFC 8999, 9000, 9001, 9002 (both roles), 9221 left to a plugin, 9287 (grease),
// 9368 and 9369 (version negotiation, version 2), 8899 (path MTU discovery),
// 9438 and 9406 (CUBIC, HyStart++), 9218 (priorities, through the stream
// schedulers), draft-ietf-ccwg-bbr (BBRv3), draft-ietf-quic-ack-frequency-14,
// draft-ietf-quic-reliable-stream-reset-10, draft-ietf-quic-qlog-quic-events-13.
//
// # Omissions
//
//   - Zero-length connection IDs of our own: an endpoint always issues IDs, so
//     that every datagram finds its connection by ID alone. A peer's
//     zero-length IDs are supported.
//   - Choice among the TLS 1.3 cipher suites: crypto/tls offers all three and
//     chooses by hardware. Offering ChaCha20 alone, as one interoperability test
//     asks, is not possible with it.
//   - AES-CCM suites: crypto/tls has none.
//   - Sending 0-RTT data again on a new connection after a rejected Retry of
//     another version: the application dials again.
//   - Explicit use of ECT(1) (L4S): operation "ecn_mark" may choose it, no
//     controller reacts to it specially.
//   - QUIC-LB's encrypted connection IDs: the plaintext form only.
package core
