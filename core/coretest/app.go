package coretest

import (
	"fmt"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
)

// A Request is one exchange a client asks for, on a stream of its own.
type Request struct {
	Up, Down uint64 // bytes of content each way
	// Full makes the server answer while it still receives.
	Full bool
	// Uni uses a unidirectional stream; the answer, if any, comes on one the
	// server opens.
	Uni bool
	// CancelAt, if positive, makes the client give up once it has read this
	// many bytes of the answer: STOP_SENDING, and RESET_STREAM if it still
	// sends.
	CancelAt uint64
	Urgency  uint8 // plus one; 0 leaves the default
}

// A Transfer is the course of a Request.
type Transfer struct {
	Request
	Start, End mono.Time // of the stream; End 0 while it goes on
	Early      bool      // started in 0-RTT
	Cancelled  bool
	Received   uint64
	key        content
}

// App is the application on one connection: on a client it makes requests, on a
// server it answers them. It implements core.ConnHandler.
type App struct {
	Conn   *core.Conn
	Server bool
	// MaxParallel bounds a client's requests under way; 0 only by the peer.
	MaxParallel int
	// ReadChunk and ReadEvery make a slow reader: at most so many bytes each
	// time. 0 reads everything at once.
	ReadChunk int
	ReadEvery time.Duration

	Transfers []*Transfer // all requests, in order
	Completed int         // of them, done
	Verified  uint64      // bytes of content received and found right
	EarlyIn   int         // requests a server received in 0-RTT
	Rejected  bool        // early data was rejected

	Complete, Confirmed mono.Time // of the handshake, 0 before
	Err                 error     // why the connection ended
	Ended, Freed        bool      // it carries nothing more; the engine has forgotten it

	host    *Host
	queued  bool
	streams map[uint64]*appStream
	news    []*appStream
	started int
	given   bool // given up by Close
}

func (h *Host) newApp(server bool) *App {
	return &App{host: h, Server: server, streams: make(map[uint64]*appStream)}
}

// Request makes the client ask for an exchange as soon as it may.
func (a *App) Request(rs ...Request) {
	for _, r := range rs {
		key := content(a.host.sim.Seed<<32 ^ uint64(len(a.Transfers)+1)*0x9e3779b97f4a7c15)
		a.Transfers = append(a.Transfers, &Transfer{Request: r, key: key})
	}
	a.touch()
}

// Done reports whether all requests are complete.
func (a *App) Done() bool { return a.Completed == len(a.Transfers) }

// Close ends the connection with code 0.
func (a *App) Close() {
	a.given = true
	a.Conn.Close(a.host.Now(), 0, "")
}

// Host returns the host the connection belongs to.
func (a *App) Host() *Host { return a.host }

// touch makes the host run the application.
func (a *App) touch() {
	if !a.queued {
		a.queued = true
		a.host.dirty = append(a.host.dirty, a)
	}
}

func (a *App) news1(s *appStream) {
	if !s.queued {
		s.queued = true
		a.news = append(a.news, s)
	}
	a.touch()
}

// run does the application's work: it opens streams, writes and reads.
func (a *App) run() {
	if a.Ended || a.Conn == nil {
		a.news = nil
		return
	}
	a.open()
	for len(a.news) > 0 {
		s := a.news[0]
		a.news = a.news[1:]
		s.queued = false
		s.run()
		if a.Ended {
			return
		}
	}
	a.news = nil
	a.open()
}

// mayOpen reports whether a client's streams can carry data: the handshake is
// complete, or 0-RTT is being tried.
func (a *App) mayOpen() bool {
	v := a.Conn.View()
	return v.HandshakeComplete != 0 || v.EarlyDataState == 1
}

func (a *App) open() {
	for !a.Server && a.started < len(a.Transfers) && a.mayOpen() {
		if a.MaxParallel > 0 && a.started-a.Completed >= a.MaxParallel {
			return
		}
		t := a.Transfers[a.started]
		st, err := a.Conn.OpenStream(!t.Uni)
		if err == core.ErrStreamLimit {
			return
		}
		if err != nil {
			a.host.sim.Fatalf("%s: OpenStream: %v", a.host.Name, err)
		}
		if t.Urgency > 0 {
			a.Conn.SetPriority(st, t.Urgency-1, false)
		}
		a.started++
		t.Start = a.host.sim.now
		t.Early = a.Conn.View().HandshakeComplete == 0
		kind := kindRequest
		if t.Full {
			kind = kindFull
		}
		s := a.stream(st)
		s.transfer = t
		s.write(header{kind, t.Up, t.Down, t.key}, t.key)
		if !t.Uni {
			s.expect(t.Down, t.key.answer())
		}
		a.news1(s)
	}
}

func (a *App) stream(st *core.Stream) *appStream {
	s := a.streams[st.ID]
	if s == nil {
		s = &appStream{app: a, s: st}
		a.streams[st.ID] = s
	}
	return s
}

func (a *App) complete(t *Transfer) {
	if t.End == 0 {
		t.End = a.host.sim.now
		a.Completed++
		a.touch()
	}
}

// Goodput returns the content bytes per second of all requests so far, from
// the first one's start to the last one's end.
func (a *App) Goodput() float64 {
	var bytes uint64
	var from, to mono.Time
	for _, t := range a.Transfers {
		bytes += t.Up + t.Down
		from = mono.Earliest(from, t.Start)
		to = max(to, t.End)
	}
	if to <= from {
		return 0
	}
	return float64(bytes) / to.Sub(from).Seconds()
}

// The methods of core.ConnHandler only take note: the host runs the
// application once the engine is done with its event, as a worker does.

func (a *App) HandshakeComplete(*core.Conn) {
	a.Complete = a.host.sim.now
	a.touch()
}

func (a *App) HandshakeConfirmed(*core.Conn) {
	a.Confirmed = a.host.sim.now
	a.touch()
}

func (a *App) StreamOpened(_ *core.Conn, st *core.Stream) { a.news1(a.stream(st)) }

func (a *App) StreamReadable(_ *core.Conn, st *core.Stream) { a.news1(a.stream(st)) }

func (a *App) StreamWritable(_ *core.Conn, st *core.Stream) { a.news1(a.stream(st)) }

func (a *App) StreamReset(_ *core.Conn, st *core.Stream, _ uint64) {
	s := a.stream(st)
	if a.Server || s.transfer != nil && !s.transfer.Cancelled {
		s.peerReset = true
	}
	a.news1(s)
}

func (a *App) StreamStopped(_ *core.Conn, st *core.Stream, _ uint64) {
	s := a.stream(st)
	s.stopped = true
	a.news1(s)
}

func (a *App) StreamClosed(_ *core.Conn, st *core.Stream) {
	s := a.streams[st.ID]
	if s == nil {
		return
	}
	delete(a.streams, st.ID)
	s.closed = true
	if t := s.transfer; t != nil && (t.Uni && t.Down == 0 || t.Cancelled) {
		a.complete(t)
	}
}

func (a *App) StreamsAvailable(*core.Conn, bool) { a.touch() }

func (a *App) EarlyDataRejected(*core.Conn) { a.Rejected = true }

func (a *App) Closed(_ *core.Conn, err error) { a.Ended, a.Err = true, err }

func (a *App) Gone(*core.Conn) { a.Freed = true }

var _ core.ConnHandler = (*App)(nil)

func (a *App) dump() {
	tb := a.host.sim.TB
	tb.Helper()
	side := "client"
	if a.Server {
		side = "server"
	}
	tb.Logf("  %s of %v: %d of %d requests done, %d bytes verified, streams held %d (by the engine %d), closed %v gone %v err %v",
		side, a.Conn.ODCID(), a.Completed, len(a.Transfers), a.Verified, len(a.streams), a.Conn.OpenStreams(), a.Ended, a.Freed, a.Err)
	st := a.Conn.Stats()
	tb.Logf("    conn %s", nonzero(st.ConnView))
	tb.Logf("    path %s", nonzero(st.Path))
	n := 0
	for id, s := range a.streams {
		if n++; n > 4 {
			break
		}
		tb.Logf("    stream %d: %s", id, s.describe())
	}
}

func (a *App) String() string { return fmt.Sprintf("app of %v", a.Conn.ODCID()) }
