// Package perf speaks the "perf" application protocol, by which QUIC
// implementations measure each other.
//
// It follows draft-banks-quic-performance-00
// (https://datatracker.ietf.org/doc/html/draft-banks-quic-performance-00):
// a client opens a stream and sends the length of the answer it wants as 8
// bytes, big-endian, then any bytes of its own, and ends its side. The server
// reads to that end, sends an answer of the wanted length, and ends its side. A
// client that wants an endless answer asks for [Endless] and stops reading when
// it has had enough. What arrives on a unidirectional stream is read and
// dropped.
package perf
