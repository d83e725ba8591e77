// Package recovery holds the bookkeeping of QUIC loss recovery: what was sent
// and its fate, what was received, the round-trip time, when a packet counts as
// lost, when to probe, and how fast to send.
// https://www.rfc-editor.org/rfc/rfc9002
//
// It knows no connection. Every type is the state of one path or of one packet
// number space; time arrives as an argument and nothing here waits, locks or
// reads a clock.
//
//	rtt.go         smoothed_rtt, rttvar, min_rtt; loss delay, PTO and its backoff
//	received.go    packet numbers received, as ranges ready for an ACK frame
//	packet.go      what is remembered of one sent packet
//	sent.go        the ring of sent packets of one packet number space
//	loss.go        packet and time thresholds, persistent congestion
//	pacer.go       the token bucket that spreads packets over a round trip
package recovery
