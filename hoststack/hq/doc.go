// Package hq is hq-interop: HTTP/0.9 over QUIC, the protocol the QUIC
// interoperability tests fetch files with.
//
// A request is a client-initiated bidirectional stream with the line
// "GET /path" and its end; the response is the file's bytes and the stream's
// end. There is no status: what cannot be answered is reset. There is no
// GOAWAY either: a server that shuts down resets new requests and closes the
// connection once it has answered those before.
// https://github.com/quic-interop/quic-interop-runner
//
// It runs on the same connections as HTTP/3, see [http3.Conn].
package hq

// NextProto is the ALPN token.
const NextProto = "hq-interop"

// Error codes of resets and of closed connections. HTTP/0.9 defines none, so
// these mean something to this package only.
const (
	CodeNoError    uint64 = 0
	CodeNotFound   uint64 = 1 // no such file, or not to be read
	CodeBadRequest uint64 = 2 // not "GET /path"
	CodeInternal   uint64 = 3 // the file could not be read to its end
	CodeRefused    uint64 = 4 // the server is shutting down
	CodeCancelled  uint64 = 5 // nobody waits any more
)
