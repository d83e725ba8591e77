package http3

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

const (
	// maxUniStreams is how many of the peer's unidirectional streams may be
	// open at once. Three have a meaning; the rest is room for reserved types.
	maxUniStreams = 16
	// Control frames the peer may send per second on average, and at once.
	controlFrameRate, controlFrameBurst = 1000, 10000
	// maxControlPayload bounds the payload of a control frame other than
	// SETTINGS, in bytes. The longest sensible one is a PRIORITY_UPDATE.
	maxControlPayload = 1024
)

// A session is what both ends of an HTTP/3 connection have in common: the
// control streams, settings, GOAWAY and datagrams.
type session struct {
	conn     Conn
	isClient bool
	local    Settings
	owner    sessionOwner
	log      *slog.Logger
	now      func() time.Time

	peer         atomic.Pointer[Settings]
	peerReceived chan struct{} // closed when peer holds the peer's SETTINGS

	control struct {
		mu  sync.Mutex
		str Stream // nil until opened, and after it failed
	}

	uni struct {
		mu     sync.Mutex
		open   int
		claims [4]bool // unidirectional stream types that may occur once
	}

	// Owned by the goroutine that reads the peer's control stream.
	frames     limiter
	lastGoAway uint64
	maxPushID  uint64
	hasPushID  bool

	tunnels tunnelTable
}

// A sessionOwner reacts to what arrives on the control stream. An error closes
// the connection.
type sessionOwner interface {
	// onGoAway: the peer will process no request (at a client) or push (at a
	// server) of this identifier or a greater one.
	onGoAway(id uint64)
	// onPriorityUpdate: the client ranked a request. Servers only.
	onPriorityUpdate(streamID uint64, p Priority)
	// onStrayDatagram: an HTTP datagram came for a request that is no tunnel, if
	// it is open at all.
	onStrayDatagram(streamID uint64)
}

func (s *session) init(conn Conn, isClient bool, local Settings, owner sessionOwner) {
	s.conn, s.isClient, s.local, s.owner = conn, isClient, local, owner
	s.peer.Store(&initialSettings)
	s.peerReceived = make(chan struct{})
	s.lastGoAway = math.MaxUint64
	s.frames = newLimiter(controlFrameRate, controlFrameBurst)
}

// start opens this end's control stream and begins to read the peer's streams.
//
// "Endpoints MUST NOT require any data to be received from the peer prior to
// sending the SETTINGS frame; settings MUST be sent as soon as the transport is
// ready to send data."
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
func (s *session) start(ctx context.Context) error {
	go s.acceptUniStreams(ctx)
	str, err := s.conn.OpenUniStream(ctx)
	if err != nil {
		return err
	}
	// Frames here change how the others are treated, so they go first.
	str.SetPriority(0, false)
	b := wire.AppendVarint(make([]byte, 0, 64), streamControl)
	b = appendSettings(b, &s.local, rand.Uint32())
	if _, err := str.Write(b); err != nil {
		return s.controlLost(err)
	}
	s.control.mu.Lock()
	s.control.str = str
	s.control.mu.Unlock()
	if n, ok := str.(AbortNotifier); ok {
		n.NotifyAbort(func(err error) {
			if isStreamAbort(err) {
				go s.fail(connErrorf(CodeClosedCriticalStream, "the peer asked to stop sending on the control stream"))
			}
		})
	}
	return nil
}

// sendControl writes one frame to the control stream.
func (s *session) sendControl(frame []byte) error {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if s.control.str == nil {
		return errors.New("http3: the control stream is not open")
	}
	if _, err := s.control.str.Write(frame); err != nil {
		s.control.str = nil
		return s.controlLost(err)
	}
	return nil
}

// controlLost handles a failed write to the control stream.
//
// "If either control stream is closed at any point, this MUST be treated as a
// connection error of type H3_CLOSED_CRITICAL_STREAM."
// https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
func (s *session) controlLost(err error) error {
	if isStreamAbort(err) {
		err = connErrorf(CodeClosedCriticalStream, "the control stream was stopped")
		s.fail(err)
	}
	return err
}

// fail closes the connection if err is a connection error found here.
func (s *session) fail(err error) {
	var ce *ConnError
	if !errors.As(err, &ce) || ce.Remote {
		return
	}
	if s.log != nil && ce.Code != CodeNoError {
		s.log.Debug("http3: closing the connection", "remote", s.conn.RemoteAddr(), "error", ce)
	}
	_ = s.conn.CloseWithError(uint64(ce.Code), ce.Reason)
}

// isStreamAbort reports whether err says that the peer aborted the stream, as
// opposed to the end of the whole connection.
func isStreamAbort(err error) bool {
	var se *StreamError
	return errors.As(err, &se)
}

// peerSettings returns the peer's settings, or their initial values if they
// did not arrive yet.
func (s *session) peerSettings() *Settings { return s.peer.Load() }

func (s *session) acceptUniStreams(ctx context.Context) {
	for {
		str, err := s.conn.AcceptUniStream(ctx)
		if err != nil {
			return
		}
		s.uni.mu.Lock()
		s.uni.open++
		excess := s.uni.open > maxUniStreams
		s.uni.mu.Unlock()
		if excess {
			s.fail(connErrorf(CodeExcessiveLoad, "more than %d unidirectional streams at once", maxUniStreams))
			return
		}
		go s.serveUniStream(str)
	}
}

func (s *session) serveUniStream(str Stream) {
	defer func() {
		s.uni.mu.Lock()
		s.uni.open--
		s.uni.mu.Unlock()
	}()
	r := &frameReader{src: str, buf: make([]byte, 128)}
	typ, err := r.varint()
	if err != nil {
		// "A receiver MUST tolerate unidirectional streams being closed or reset
		// prior to the reception of the unidirectional stream header."
		// https://www.rfc-editor.org/rfc/rfc9114#section-6.2
		return
	}
	switch typ {
	case streamControl, streamQPACKEncoder, streamQPACKDecoder:
		err = s.serveCriticalStream(typ, r)
	case streamPush:
		err = s.refusePush()
	default:
		// "Recipients of unknown stream types MUST either abort reading of the
		// stream or discard incoming data without further processing. If reading
		// is aborted, the recipient SHOULD use the H3_STREAM_CREATION_ERROR error
		// code"
		// https://www.rfc-editor.org/rfc/rfc9114#section-6.2
		str.CancelRead(uint64(CodeStreamCreationError))
	}
	if err != nil {
		s.fail(err)
	}
}

// refusePush answers a push stream: this end never allows one.
//
// "if a server receives a client-initiated push stream, this MUST be treated as
// a connection error of type H3_STREAM_CREATION_ERROR." / "A client MUST treat
// receipt of a push stream as a connection error of type H3_ID_ERROR when no
// MAX_PUSH_ID frame has been sent"
// https://www.rfc-editor.org/rfc/rfc9114#section-6.2.2
// https://www.rfc-editor.org/rfc/rfc9114#section-4.6
func (s *session) refusePush() error {
	if s.isClient {
		return connErrorf(CodeIDError, "a push stream, but no push was allowed")
	}
	return connErrorf(CodeStreamCreationError, "a client opened a push stream")
}

// serveCriticalStream reads a stream whose end is the connection's end.
func (s *session) serveCriticalStream(typ uint64, r *frameReader) error {
	s.uni.mu.Lock()
	again := s.uni.claims[typ]
	s.uni.claims[typ] = true
	s.uni.mu.Unlock()
	if again {
		// "Only one control stream per peer is permitted; receipt of a second
		// stream claiming to be a control stream MUST be treated as a connection
		// error of type H3_STREAM_CREATION_ERROR." RFC 9204 section 4.2 says the
		// same of its streams.
		// https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
		return connErrorf(CodeStreamCreationError, "a second unidirectional stream of type %d", typ)
	}
	var err error
	switch typ {
	case streamControl:
		err = s.readControl(r)
	case streamQPACKEncoder:
		err = readQPACKEncoder(r)
	case streamQPACKDecoder:
		err = readQPACKDecoder(r)
	}
	if err == io.EOF || isStreamAbort(err) {
		// "The sender MUST NOT close either of these streams […] Closure of
		// either unidirectional stream type MUST be treated as a connection error
		// of type H3_CLOSED_CRITICAL_STREAM."
		// https://www.rfc-editor.org/rfc/rfc9204#section-4.2
		err = connErrorf(CodeClosedCriticalStream, "the peer closed its unidirectional stream of type %d", typ)
	}
	return err
}

// readControl reads the peer's control stream until it fails.
func (s *session) readControl(r *frameReader) error {
	// "If the first frame of the control stream is any other frame type, this
	// MUST be treated as a connection error of type H3_MISSING_SETTINGS."
	// https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
	t, n, err := r.next()
	if err != nil {
		return err
	}
	if t != FrameSettings {
		return connErrorf(CodeMissingSettings, "the control stream begins with %v", t)
	}
	if n > maxSettings {
		return connErrorf(CodeExcessiveLoad, "SETTINGS of %d bytes, at most %d are accepted", n, maxSettings)
	}
	payload, err := r.payload(int(n))
	if err != nil {
		return err
	}
	if err := s.applySettings(payload); err != nil {
		return err
	}
	for {
		t, n, err := r.next()
		if err != nil {
			return err
		}
		if !s.frames.take(s.now()) {
			return connErrorf(CodeExcessiveLoad, "too many control frames")
		}
		if err := s.controlFrame(r, t, n); err != nil {
			return err
		}
	}
}

func (s *session) applySettings(payload []byte) error {
	settings, err := parseSettings(payload)
	if err != nil {
		return err
	}
	if d := s.tunnels.sender; settings.H3Datagram && d != nil && d.MaxDatagramSize() == 0 {
		// HTTP/3 datagrams are announced, but not the QUIC extension they need.
		// https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
		return connErrorf(CodeSettingsError, "SETTINGS_H3_DATAGRAM without the max_datagram_frame_size transport parameter")
	}
	s.peer.Store(&settings)
	close(s.peerReceived)
	return nil
}

// controlFrame handles one frame of the peer's control stream after SETTINGS.
func (s *session) controlFrame(r *frameReader, t FrameType, n uint64) error {
	if !t.known() && !t.reservedHTTP2() {
		// "Implementations MUST ignore unknown or unsupported values in all
		// extensible protocol elements."
		// https://www.rfc-editor.org/rfc/rfc9114#section-9
		return r.skip(n)
	}
	if !s.allowedOnControl(t) {
		return connErrorf(CodeFrameUnexpected, "%v on the control stream", t)
	}
	if n > maxControlPayload {
		return connErrorf(CodeFrameError, "%v of %d bytes", t, n)
	}
	payload, err := r.payload(int(n))
	if err != nil {
		return err
	}
	if t == FramePriorityUpdateRequest || t == FramePriorityUpdatePush {
		return s.priorityUpdate(t, payload)
	}
	id, err := parseIDFrame(t, payload)
	if err != nil {
		return err
	}
	switch t {
	case FrameGoAway:
		return s.goAwayReceived(id)
	case FrameMaxPushID:
		return s.maxPushIDReceived(id)
	}
	// CANCEL_PUSH. Nothing is ever promised here, and a client allows nothing.
	//
	// "If a CANCEL_PUSH frame is received that references a push ID greater than
	// currently allowed on the connection, this MUST be treated as a connection
	// error of type H3_ID_ERROR. […] If a server receives a CANCEL_PUSH frame for
	// a push ID that has not yet been mentioned by a PUSH_PROMISE frame, this
	// MUST be treated as a connection error of type H3_ID_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.3
	return connErrorf(CodeIDError, "CANCEL_PUSH of push %d, which was never promised", id)
}

// allowedOnControl is the control stream's column of RFC 9114, Table 1, after
// the first frame, for the direction this end receives.
func (s *session) allowedOnControl(t FrameType) bool {
	switch t {
	case FrameCancelPush, FrameGoAway:
		return true
	case FrameMaxPushID, FramePriorityUpdateRequest, FramePriorityUpdatePush:
		// "A client MUST treat the receipt of a MAX_PUSH_ID frame as a connection
		// error of type H3_FRAME_UNEXPECTED." and "If a client receives a
		// PRIORITY_UPDATE frame, this MUST be treated as a connection error of
		// type H3_FRAME_UNEXPECTED."
		// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.7
		// https://www.rfc-editor.org/rfc/rfc9218#section-7.2
		return !s.isClient
	}
	return false
}

func (s *session) goAwayReceived(id uint64) error {
	// "A client MUST treat receipt of a GOAWAY frame containing a stream ID of
	// any other type as a connection error of type H3_ID_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.6
	if s.isClient && id%4 != 0 {
		return connErrorf(CodeIDError, "GOAWAY of stream %d, which is no request stream", id)
	}
	// "Receiving a GOAWAY containing a larger identifier than previously
	// received MUST be treated as a connection error of type H3_ID_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
	if id > s.lastGoAway {
		return connErrorf(CodeIDError, "GOAWAY of %d after one of %d", id, s.lastGoAway)
	}
	s.lastGoAway = id
	s.owner.onGoAway(id)
	return nil
}

func (s *session) maxPushIDReceived(id uint64) error {
	// "receipt of a MAX_PUSH_ID frame that contains a smaller value than
	// previously received MUST be treated as a connection error of type
	// H3_ID_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.7
	if s.hasPushID && id < s.maxPushID {
		return connErrorf(CodeIDError, "MAX_PUSH_ID of %d after one of %d", id, s.maxPushID)
	}
	s.maxPushID, s.hasPushID = id, true
	return nil
}

func (s *session) priorityUpdate(t FrameType, payload []byte) error {
	id, p, ok, err := parsePriorityUpdate(payload)
	if err != nil {
		return err
	}
	// "If a server receives a PRIORITY_UPDATE (type=0xF0701) with a push ID that
	// is greater than the maximum push ID or that has not yet been promised, this
	// MUST be treated as a connection error of type H3_ID_ERROR."
	//
	// "If a server receives a PRIORITY_UPDATE (type=0xF0700) for a stream ID that
	// is not a request stream, this MUST be treated as a connection error of type
	// H3_ID_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9218#section-7.2
	if t == FramePriorityUpdatePush {
		return connErrorf(CodeIDError, "PRIORITY_UPDATE of push %d, which was never promised", id)
	}
	if id%4 != 0 {
		return connErrorf(CodeIDError, "PRIORITY_UPDATE of stream %d, which is no request stream", id)
	}
	if ok {
		s.owner.onPriorityUpdate(id, p)
	}
	return nil
}
