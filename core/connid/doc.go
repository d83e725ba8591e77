// Package connid decides what the connection IDs of an endpoint look like, so
// that packets find their way by connection ID alone: to the right machine
// through a load balancer, and on the machine to the right worker.
//
// # Layout
//
//	Connection ID {
//	  Prefix (0..),       fixed bytes, for example a QUIC-LB first octet
//	  Server ID (0..),    fixed bytes, for a load balancer
//	  Worker (16),        two bytes, present if there are several workers
//	  Random (..),        the rest
//	}
//
// Every ID of an endpoint has the same length, since short headers do not tell
// it: "Endpoints using a load balancer that routes based on connection ID could
// agree with the load balancer on a fixed length for connection IDs".
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1
//
// # Finding the worker
//
// With a and b the two bytes of the Worker field, at offset o and o+1 of the
// connection ID, where o is the length of prefix and server ID together:
//
//	worker = (a XOR b XOR mask) mod workers
//
// A program that steers datagrams, such as one attached to an SO_REUSEPORT
// group, reads three constants ([Layout.Steering]): o, mask and workers. With p
// the UDP payload it computes
//
//	if p[0] & 0x80 != 0:             long header
//	    if p[5] < o + 2: no decision; the kernel's own hash of the addresses
//	    cid = p[6:]
//	else:                            short header
//	    cid = p[1:]
//	if the payload ends before cid[o+1]: no decision
//	worker = (cid[o] XOR cid[o+1] XOR mask) mod workers
//
// The first packets of a client carry a Destination Connection ID it has chosen
// itself, "with an unpredictable value" of at least 8 bytes (RFC 9000, section
// 7.2). The same formula sends all of them to one worker, picked at random;
// that worker answers with a connection ID that carries its own number.
// Nothing has to be remembered. [Layout.WorkerOf] is this program in Go.
//
// # What IDs reveal
//
// "Connection IDs MUST NOT contain any information that can be used by an
// external observer (that is, one that does not cooperate with the issuer) to
// correlate them with other connection IDs for the same connection."
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1
//
// Both bytes of the Worker field look random, and so does their XOR, which
// takes any of the values that are the worker modulo the number of workers. But
// the mask is an obfuscation, not encryption: one who knows or finds out mask
// and number of workers learns the worker, hence log2(workers) bits that all
// IDs of a connection have in common, and no more. The server ID is in plain
// sight, as in the unencrypted form of QUIC-LB: it tells which IDs belong to one
// server, not which belong to one connection. An endpoint with one worker and no
// server ID reveals nothing.
//
// # QUIC-LB
//
// A prefix of one byte followed by a server ID is the plaintext algorithm of
// draft-ietf-quic-load-balancers; [LBFirstOctet] makes that byte, which then
// encodes the length of the ID. The Worker field and the random bytes are the
// draft's nonce, which has to have at least 4 bytes.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-load-balancers
package connid
