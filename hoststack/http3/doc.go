// Package http3 is HTTP/3 (RFC 9114): a server for any http.Handler and a
// client that is an http.RoundTripper, on any QUIC connection that fits the
// [Conn] interface.
//
// Beyond RFC 9114 it has extensible priorities (RFC 9218), extended CONNECT
// (RFC 9220), HTTP datagrams and capsules (RFC 9297), early data with the care
// of RFC 8470, and Alt-Svc (RFC 7838) for servers that also listen on TCP.
//
// To find the server, open server.go (connections: server_conn.go, one
// request: server_stream.go, its response: response_writer.go); the client,
// client.go (client_conn.go, client_stream.go, client_request.go); what both
// share, session.go (control streams), message.go (one message's frames),
// frame_reader.go and fields*.go (header sections and their rules).
//
// # Limits against abuse
//
// Header sections (MaxHeaderBytes), the time they take (ReadHeaderTimeout),
// running handlers per connection (MaxHandlers), aborted requests (ResetRate),
// control frames, unidirectional streams, frames without content and SETTINGS
// are all bounded. What exceeds a bound gets 431, a stream error, or
// H3_EXCESSIVE_LOAD.
//
// # Left out on purpose
//
//   - Server push: clients of this package allow none, servers never push.
//     Browsers have removed it.
//   - The QPACK dynamic table (RFC 9204): a capacity of 0 is announced and the
//     peer's offer is not used, because github.com/quic-go/qpack has none.
//   - Reuse of one connection for several authorities (RFC 9114 section 3.3).
//   - Alt-Svc at the client: it speaks HTTP/3 to where the URL points.
//   - Remembered SETTINGS for early data (RFC 9114 section 7.2.4.2): early
//     requests comply with the initial values, which is allowed.
package http3
