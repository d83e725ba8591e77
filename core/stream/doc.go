// Package stream holds what a QUIC stream is made of, apart from any
// connection: the FIFO that carries its bytes between an application and the
// engine, the sending and the receiving half, flow-control windows with
// auto-tuning, and the schedulers that decide whose turn it is.
//
// # Where to find what
//
//	fifo.go, fifo_grow.go   the byte ring between two goroutines
//	fifo_wait.go            ends of a FIFO, and the flags of a sleeping side
//	fifo_shared.go          the same ring in memory shared with another process
//	send.go, send_spans.go  Send: what to put in the next STREAM frame, and its fate
//	recv.go, recv_ranges.go Recv: reassembly, final size, reset
//	window.go               Window: the limit promised to the peer
//	scheduler*.go           rr, prio, sprio
//	errors.go               Error and the transport error code of each
//
// # Who may call what
//
// A FIFO has one producer and one consumer, each a single goroutine. Every
// method says whose it is. For the sending direction the application produces
// and the engine consumes: bytes stay in the FIFO until they are acknowledged,
// so a retransmission reads the same memory a second time. For the receiving
// direction the engine produces, writing segments that arrive out of order
// where they belong, and the application consumes. Send, Recv, Window and the
// schedulers belong to the engine alone.
//
// Nothing here reads a clock, starts a goroutine, takes a lock or sleeps.
//
// # Memory
//
// A FIFO that was never written costs 64 bytes, so the two of a bidirectional
// stream cost 128. The first write allocates the indices (two cache lines and
// a bit) and a ring sized to the data. A ring grows by doubling up to the
// FIFO's maximum and never shrinks by itself; Trim releases it when empty.
//
// # Limits against hostile peers
//
// A receiving half holds at most MaxHeldRanges(held) separate ranges beyond
// the first gap, a bound that grows with the bytes actually held: see there
// for the reasons. Memory for stream bytes never exceeds the flow-control
// limit promised to the peer, rounded up to a power of two.
package stream
