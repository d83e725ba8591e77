package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A ClientConn is one HTTP/3 connection of a client. Most programs use a
// Transport, which makes and shares them.
type ClientConn struct {
	session
	t     *Transport
	limit uint64 // MaxResponseHeaderBytes

	noEarlyData atomic.Bool                         // 0-RTT was refused: wait for the handshake
	tls         atomic.Pointer[tls.ConnectionState] // after the handshake

	mu      sync.Mutex
	active  map[uint64]*clientStream
	goAway  uint64      // the server ignores requests from this stream ID on
	retired bool        // close once the last request is over
	pings   *time.Timer // runs keepAlive while there are requests
}

// pingInterval is how often a connection with requests but perhaps no packets
// is kept alive.
const pingInterval = 10 * time.Second

// NewClientConn starts HTTP/3 on a connection that negotiated "h3". The
// ClientConn owns conn from then on.
func (t *Transport) NewClientConn(conn Conn) *ClientConn {
	cc := &ClientConn{
		t:      t,
		limit:  uint64(or(t.MaxResponseHeaderBytes, DefaultMaxHeaderBytes)),
		active: make(map[uint64]*clientStream),
		goAway: math.MaxUint64,
	}
	cc.log = t.Logger
	cc.now = t.Clock
	if cc.now == nil {
		cc.now = time.Now
	}
	cc.session.init(conn, true, Settings{MaxFieldSectionSize: cc.limit}, cc)
	if t.Datagrams != nil {
		cc.useDatagrams(t.Datagrams(conn))
	}
	ctx := conn.Context()
	go func() { _ = cc.start(ctx) }()
	go cc.refuseStreams(ctx)
	return cc
}

// refuseStreams waits for what must not come.
//
// "Clients MUST treat receipt of a server-initiated bidirectional stream as a
// connection error of type H3_STREAM_CREATION_ERROR unless such an extension
// has been negotiated."
// https://www.rfc-editor.org/rfc/rfc9114#section-6.1
func (cc *ClientConn) refuseStreams(ctx context.Context) {
	if _, err := cc.conn.AcceptStream(ctx); err == nil {
		cc.fail(connErrorf(CodeStreamCreationError, "the server opened a bidirectional stream"))
	}
}

// RoundTrip sends one request on this connection. Unlike a Transport's it never
// sends it again.
func (cc *ClientConn) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := requestAuthority(req); err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := cc.roundTrip(req, func() {})
	if err != nil {
		closeBody(req)
		return nil, unwrapRetry(err)
	}
	return resp, nil
}

// PeerSettings waits for the server's SETTINGS.
func (cc *ClientConn) PeerSettings(ctx context.Context) (Settings, error) {
	select {
	case <-cc.peerReceived:
		return *cc.peerSettings(), nil
	case <-cc.conn.Context().Done():
		return Settings{}, context.Cause(cc.conn.Context())
	case <-ctx.Done():
		return Settings{}, context.Cause(ctx)
	}
}

// Close closes the connection at once, with H3_NO_ERROR.
func (cc *ClientConn) Close() error {
	cc.mu.Lock()
	if cc.pings != nil {
		cc.pings.Stop()
	}
	cc.mu.Unlock()
	return cc.conn.CloseWithError(uint64(CodeNoError), "")
}

// usable reports whether new requests can be sent.
func (cc *ClientConn) usable() bool {
	if cc.conn.Context().Err() != nil {
		return false
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.goAway == math.MaxUint64 && !cc.retired
}

func (cc *ClientConn) idle() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return len(cc.active) == 0
}

// tlsState returns the connection's TLS state, shared by all responses after
// the handshake.
func (cc *ClientConn) tlsState() *tls.ConnectionState {
	if state := cc.tls.Load(); state != nil {
		return state
	}
	state := cc.conn.ConnectionState()
	if state.HandshakeComplete {
		cc.tls.Store(&state)
	}
	return &state
}

// retire lets the connection end with its last request.
func (cc *ClientConn) retire() {
	cc.mu.Lock()
	cc.retired = true
	idle := len(cc.active) == 0
	cc.mu.Unlock()
	if idle {
		_ = cc.Close()
	}
}

// open opens a request stream. An error means that the request was not sent.
func (cc *ClientConn) open(ctx context.Context, req *http.Request, sent func()) (*clientStream, error) {
	if err := cc.awaitHandshake(ctx, req, sent); err != nil {
		return nil, cc.notSent(ctx, err)
	}
	str, err := cc.conn.OpenStream(ctx)
	if err != nil {
		return nil, cc.notSent(ctx, err)
	}
	cs := newClientStream(cc, str, req)
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.goAway <= cs.id {
		// "Endpoints MUST NOT initiate new requests or promise new pushes on the
		// connection after receipt of a GOAWAY frame from the peer."
		// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
		str.Reset(uint64(CodeRequestCancelled))
		str.CancelRead(uint64(CodeRequestCancelled))
		return nil, cc.notSent(ctx, errGoAway)
	}
	cc.active[cs.id] = cs
	if _, ok := cc.conn.(Pinger); ok && cc.pings == nil {
		cc.pings = time.AfterFunc(pingInterval, cc.keepAlive)
	}
	return cs, nil
}

// keepAlive keeps the connection from timing out as long as there are
// requests.
//
// "HTTP clients are expected to request that the transport keep connections
// open while there are responses outstanding for requests or server pushes"
// https://www.rfc-editor.org/rfc/rfc9114#section-5.1
func (cc *ClientConn) keepAlive() {
	cc.mu.Lock()
	cc.pings = nil
	if len(cc.active) == 0 || cc.conn.Context().Err() != nil {
		cc.mu.Unlock()
		return
	}
	cc.pings = time.AfterFunc(pingInterval, cc.keepAlive)
	cc.mu.Unlock()
	cc.conn.(Pinger).Ping()
}

var errGoAway = errors.New("http3: the server is going away (GOAWAY)")

// notSent is the error of a request that never left.
func (cc *ClientConn) notSent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ended := context.Cause(cc.conn.Context()); ended != nil {
		err = ended
	}
	return &retryError{err: err, untouched: true, unprocessed: true}
}

// awaitHandshake returns once req may be sent: at once if the handshake is
// complete, or if it is a request early data is for.
//
// "endpoints […] MUST NOT send […] in 0-RTT [what] is not safe to replay" is
// the rule of RFC 8470: only safe methods, and only if asked for.
// https://www.rfc-editor.org/rfc/rfc8470#section-4
func (cc *ClientConn) awaitHandshake(ctx context.Context, req *http.Request, sent func()) error {
	select {
	case <-cc.conn.HandshakeComplete():
		return nil
	default:
	}
	noContent := req.Body == nil || req.Body == http.NoBody
	if cc.t.EnableEarlyData && !cc.noEarlyData.Load() && isSafe(or(req.Method, http.MethodGet)) && noContent {
		return nil
	}
	sent() // others do not wait for it
	select {
	case <-cc.conn.HandshakeComplete():
		return nil
	case <-cc.conn.Context().Done():
		return context.Cause(cc.conn.Context())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// done forgets a request, and closes a connection that waited for it.
func (cc *ClientConn) done(cs *clientStream) {
	cc.mu.Lock()
	delete(cc.active, cs.id)
	last := len(cc.active) == 0 && (cc.retired || cc.goAway != math.MaxUint64)
	cc.mu.Unlock()
	if last {
		_ = cc.Close()
	}
}

// onGoAway gives up the requests the server will not look at.
//
// "Upon receipt of a GOAWAY frame, if the client has already sent requests with
// a stream ID greater than or equal to the identifier contained in the GOAWAY
// frame, those requests will not be processed. Clients can safely retry
// unprocessed requests on a different HTTP connection."
// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
func (cc *ClientConn) onGoAway(id uint64) {
	cc.mu.Lock()
	cc.goAway = id
	var rejected []*clientStream
	for sid, cs := range cc.active {
		if sid >= id {
			rejected = append(rejected, cs)
		}
	}
	idle := len(cc.active) == 0
	cc.mu.Unlock()
	for _, cs := range rejected {
		cs.giveUp(&retryError{err: errGoAway, unprocessed: true})
	}
	if idle {
		_ = cc.Close()
	}
}

func (cc *ClientConn) onPriorityUpdate(uint64, Priority) {}

func (cc *ClientConn) onStrayDatagram(id uint64) {
	cc.mu.Lock()
	cs := cc.active[id]
	cc.mu.Unlock()
	if cs != nil {
		cs.abort(errStrayDatagram)
	}
}
