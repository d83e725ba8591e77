// Package wire reads and writes the bytes of QUIC: variable-length integers,
// connection IDs, packet headers, frames and transport parameters. It knows no
// connection: what a value means, and whether the peer was allowed to send it
// now, is for package core to say.
//
// To find the format of X, open
//
//	varint.go                      variable-length integers
//	packet.go                      packet types and the bits of the first byte
//	header_long.go, header_short.go, pnum.go, retry.go, vneg.go, stateless_reset.go
//	frame.go                       frame types and how to read the next one
//	frame_<name>.go                one frame each: type, Parse, Append, Len
//	facts.go                       what holds for all frames of a type
//	transport_parameters*.go       what endpoints declare in the handshake
//
// # Conventions
//
// Parse functions of frames take the rest of a packet's payload, beginning with
// the frame type, and return the frame and its length n in bytes; n is 0 if the
// frame is malformed, which is a connection error of type FRAME_ENCODING_ERROR.
// A range that the format implies is checked here; limits that depend on a
// connection are not. Slices in the results alias the input. Append functions
// append to b and return the extended slice, as the built-in append does; they
// allocate only when b has no room. They trust their caller: a value beyond
// MaxVarint panics. Nothing here panics on account of what a peer sent.
//
// # Specifications
//
//   - RFC 8999, version-independent properties
//   - RFC 9000, QUIC version 1: all packets, frames and transport parameters
//   - RFC 9369, QUIC version 2
//   - RFC 9368, version_information
//   - RFC 9287, grease_quic_bit
//   - draft-ietf-quic-ack-frequency-14: ACK_FREQUENCY (0xaf), IMMEDIATE_ACK
//     (0x1f), min_ack_delay (0xff04de1b)
//   - draft-ietf-quic-reliable-stream-reset-10: RESET_STREAM_AT (0x24),
//     reset_stream_at (0x1d, and the number of earlier drafts)
package wire
