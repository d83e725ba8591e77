package hoststack

import (
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/token"
)

// Who owns a worker's engine.
//
//	         park                       claim
//	running ------> parked <-------------------> claimed
//	   ^    <------        (an application's call)  |
//	   |    acquire                                 | acquire
//	   +------------------ awaited <----------------+
const (
	running uint32 = iota // the worker's goroutine
	parked                // nobody: the goroutine sleeps in ReadBatch
	claimed               // an application goroutine, for the length of one call
	awaited               // the same, and the worker's goroutine waits for its end
)

// Implementation constants.
const (
	// gatherUpTo is how many bytes of small runs are collected for one
	// WriteBatch; a bulk transfer's runs are larger and go out at once.
	gatherUpTo = 32 << 10
	// maxOut is how many runs one WriteBatch takes.
	maxOut = 64
	// flushesPerTurn bounds how long a worker sends without looking for
	// acknowledgments.
	flushesPerTurn = 16
	// timerSlack is how much later than asked for a sleeping worker may see a
	// timer. Pacing at a high rate asks for one per packet; this makes runs of
	// them, well within the burst a pacer allows.
	timerSlack = 200 * time.Microsecond
	// inlineFlushes is how much an application goroutine sends in place before
	// it leaves the rest to the worker.
	inlineFlushes = 1
	// wakeBytes and wakeTime bound how much may arrive, and for how long,
	// before readers are woken though more keeps coming: half of the initial
	// stream window, and little against a round trip.
	wakeBytes = 256 << 10
	wakeTime  = 200 * time.Microsecond
)

// A worker owns a datapath, an endpoint and all its connections. Fields
// without another remark belong to whoever owns the worker (see state).
type worker struct {
	group *Transport
	index uint8
	dp    Datapath
	ep    *core.Endpoint
	now   mono.Time // time of the event being handled

	batch []Packet
	dg    core.Datagram
	buf   []byte // transmit buffer
	out   []Packet
	sent  []sentRun

	readers     []*waitSlot // to wake when nothing more arrives, see wakeReaders
	unread      int         // bytes received since readers were last woken,
	unreadSince mono.Time   // the first of them at this time
	writers     []*waitSlot // to wake at the end of the turn
	conns       int
	stopping    bool
	closed      bool           // the goroutine has ended, the datapath is closed
	tokens      *token.Keyring // servers only

	spinner   spinner // goroutine's own
	wasParked bool
	parkFunc  func() bool   // park, bound once
	handback  chan struct{} // holds one: an awaited claim has ended

	_     [64]byte
	state atomic.Uint32
	_     [60]byte
	inbox inbox
	hands atomic.Int32 // datagrams handed over and not yet handled
	stats workerStats
}

// sentRun remembers whose run an entry of out is.
type sentRun struct {
	conn *core.Conn
	path uint64
}

func newWorker(t *Transport, index int, dp Datapath) *worker {
	w := &worker{
		group: t,
		index: uint8(index),
		dp:    dp,
		batch: make([]Packet, t.cfg.UDP.batch()),
		buf:   make([]byte, gatherUpTo+MaxRun),
		out:   make([]Packet, 0, maxOut),
		sent:  make([]sentRun, 0, maxOut),

		handback: make(chan struct{}, 1),
	}
	w.parkFunc = w.park
	return w
}

// loop is the worker's goroutine. Each pass runs one batch to completion.
func (w *worker) loop() {
	for {
		w.now = now()
		w.serve(flushesPerTurn)
		if w.stopping {
			break
		}
		n, err := w.receive()
		if n > 0 {
			w.now = now()
			w.feed(w.batch[:n])
		}
		if err != nil {
			break
		}
	}
	w.shutdown()
}

// serve does everything but receiving: what applications left in the inbox,
// timers, sending.
func (w *worker) serve(flushes int) {
	w.serveInbox()
	if !w.closed {
		if !w.now.Before(w.ep.Deadline()) {
			w.ep.Advance(w.now)
		}
		w.flush(flushes)
	}
	wakeAll(&w.writers)
}

func (w *worker) serveInbox() {
	for n := w.inbox.takeAll(); n != nil; {
		// Once handled, n may be pushed again at any time.
		next := n.next
		switch {
		case n.stream != nil:
			n.stream.serve(w)
		case n.cmd != nil:
			n.cmd.fn()
			n.cmd.done <- struct{}{}
		case n.hand != nil:
			w.takeOver(n.hand)
		}
		n = next
	}
}

// feed hands a batch to the engine.
func (w *worker) feed(batch []Packet) {
	steered := len(w.group.workers) > 1
	d := &w.dg
	bytes := 0
	for i := range batch {
		p := &batch[i]
		d.Local, d.Remote, d.IfIndex, d.ECN = p.Local, p.Remote, p.IfIndex, core.ECN(p.ECN)
		bytes += len(p.Payload)
		size := p.SegmentSize
		if size <= 0 {
			size = len(p.Payload)
		}
		for rest := p.Payload; len(rest) > 0; {
			k := min(size, len(rest))
			d.Payload, rest = rest[:k:k], rest[k:]
			w.stats.datagramsReceived.Add(1)
			if steered && w.handOver(d) {
				continue
			}
			w.ep.Receive(w.now, d)
		}
	}
	d.Payload = nil
	w.ep.EndBatch(w.now)
	w.stats.bytesReceived.Add(uint64(bytes))
	w.stats.batchesReceived.Add(1)
	if w.unread == 0 {
		w.unreadSince = w.now
	}
	if w.unread += bytes; w.unread >= wakeBytes || w.now.Sub(w.unreadSince) >= wakeTime {
		w.wakeReaders()
	}
}

// flush sends what the engine has, at most limit batches.
func (w *worker) flush(limit int) {
	for range limit {
		if !w.gather() {
			return
		}
		w.write()
		w.now = now()
	}
}

// gather fills out with runs: several small ones, or one large one.
func (w *worker) gather() bool {
	w.out, w.sent = w.out[:0], w.sent[:0]
	for off := 0; off < gatherUpTo && len(w.out) < maxOut; {
		t, ok := w.ep.Transmit(w.now, w.buf[off:off+MaxRun:off+MaxRun], maxSegments)
		if !ok {
			break
		}
		w.out = append(w.out, Packet{
			Payload:     w.buf[off : off+t.Len],
			SegmentSize: t.SegmentSize,
			Local:       t.Local,
			Remote:      t.Remote,
			IfIndex:     w.interfaceFor(&t),
			ECN:         uint8(t.ECN),
		})
		w.sent = append(w.sent, sentRun{t.Conn, t.Path})
		w.stats.bytesSent.Add(uint64(t.Len))
		w.stats.datagramsSent.Add(uint64(w.out[len(w.out)-1].Segments()))
		off += t.Len
	}
	return len(w.out) > 0
}

// interfaceFor returns the interface a run has to leave by, 0 for the route's.
func (w *worker) interfaceFor(t *core.Transmit) uint32 {
	if w.group.cfg.BindToInterface || t.Remote.Addr().IsLinkLocalUnicast() {
		return t.IfIndex
	}
	return 0
}

// maxSegments is how many datagrams one run may have.
const maxSegments = 64

// write sends out. An error concerns one run: its path learns of it.
func (w *worker) write() {
	w.stats.batchesSent.Add(1)
	for i := 0; i < len(w.out); {
		n, err := w.dp.WriteBatch(w.out[i:])
		i += n
		if err == nil {
			return
		}
		if errors.Is(err, net.ErrClosed) || i >= len(w.out) {
			return
		}
		w.sendFailed(&w.sent[i], &w.out[i], err)
		i++
	}
}

// sendFailed tells the engine that the system would not send a run.
func (w *worker) sendFailed(run *sentRun, p *Packet, err error) {
	w.stats.sendErrors.Add(1)
	tooLarge := 0
	if errors.Is(err, ErrTooLarge) {
		w.stats.sendTooLarge.Add(1)
		tooLarge = len(p.Payload)
		if p.SegmentSize > 0 {
			tooLarge = min(tooLarge, p.SegmentSize)
		}
	}
	if run.conn == nil {
		return
	}
	path := run.conn.Path(run.path)
	if path == nil {
		return
	}
	if tooLarge == 0 && !w.group.server && path.ID == 0 {
		// The address this host had for the path may be gone. The routing table
		// knows whether there is another.
		if local := w.group.sourceFor(p.Remote); local != p.Local && !local.Addr().IsUnspecified() {
			run.conn.LocalAddressesChanged(w.now, local, 0)
			return
		}
	}
	run.conn.PathSocketError(w.now, path, tooLarge)
}

// wakeReaders wakes the readers that have something to read. While datagrams
// keep coming it is put off: a reader woken for each batch would find little,
// sleep again, and cost more in waking than in reading.
func (w *worker) wakeReaders() {
	w.unread = 0
	wakeAll(&w.readers)
}

func wakeAll(slots *[]*waitSlot) {
	for i, s := range *slots {
		s.queued = false
		s.wake()
		(*slots)[i] = nil
	}
	*slots = (*slots)[:0]
}

// queue puts s in a list of slots to wake, once, if somebody sleeps there.
func (s *waitSlot) queue(list *[]*waitSlot) {
	if !s.queued && s.waiting() {
		s.queued = true
		*list = append(*list, s)
	}
}

// receive waits for datagrams, work or the next deadline. It returns with the
// goroutine owning the worker.
func (w *worker) receive() (int, error) {
	if w.ep.HasWork() {
		n, err := w.dp.ReadBatch(w.batch, 0, nil)
		if n == 0 {
			w.wakeReaders()
		}
		return n, err
	}
	deadline := w.ep.Deadline()
	start := now()
	n, err := 0, error(nil)
	if near := start.Add(timerSlack); start < deadline && deadline < near {
		deadline = near
	}
	spun := w.spinner.on
	if spun {
		n, err = w.spin(start, deadline)
	}
	found := n > 0 || !w.inbox.empty()
	if !found && err == nil && now().Before(deadline) {
		n, err = w.dp.ReadBatch(w.batch, deadline, w.parkFunc)
		w.acquire()
	}
	if n == 0 {
		w.wakeReaders()
	}
	bytes := 0
	for i := range w.batch[:n] {
		bytes += len(w.batch[i].Payload)
	}
	w.spinner.judge(spun && found, now().Sub(start), bytes)
	return n, err
}

// spin looks for datagrams, notes and the deadline without sleeping, letting
// other goroutines run in between.
func (w *worker) spin(start, deadline mono.Time) (int, error) {
	w.stats.spins.Add(1)
	for end := start.Add(spinTime); ; {
		n, err := w.dp.ReadBatch(w.batch, 0, nil)
		if n > 0 || err != nil {
			return n, err
		}
		w.wakeReaders()
		if t := now(); !w.inbox.empty() || !t.Before(deadline) || t.After(end) {
			return 0, nil
		}
		runtime.Gosched()
	}
}

// park gives the worker up before the goroutine sleeps. It answers false if
// there is work after all. ReadBatch calls it each time it is about to sleep.
func (w *worker) park() bool {
	w.acquire()
	w.wakeReaders()
	if !w.inbox.empty() || w.ep.HasWork() {
		return false
	}
	w.wasParked = true
	w.state.Store(parked)
	// Whoever left a note before that store saw the worker running and relies
	// on this look.
	if !w.inbox.empty() && w.state.CompareAndSwap(parked, running) {
		w.wasParked = false
		return false
	}
	w.stats.sleeps.Add(1)
	return true
}

// acquire takes the worker back after a sleep, if need be from an application
// that has claimed it meanwhile: most calls are short, but one that begins a
// handshake is not.
func (w *worker) acquire() {
	if !w.wasParked {
		return
	}
	for !w.state.CompareAndSwap(parked, running) {
		if w.state.CompareAndSwap(claimed, awaited) {
			<-w.handback
			break
		}
	}
	w.wasParked = false
}

// unclaim ends a claim. It reports false if the worker's goroutine was waiting
// for that: it is at work again.
func (w *worker) unclaim() bool {
	if w.state.CompareAndSwap(claimed, parked) {
		return true
	}
	w.state.Store(running)
	w.handback <- struct{}{}
	return false
}

// poke makes sure that a note just left is looked at: if the worker sleeps, by
// doing its work here and now.
func (w *worker) poke() {
	for w.state.Load() == parked && w.state.CompareAndSwap(parked, claimed) {
		w.stats.claims.Add(1)
		w.now = now()
		w.serve(inlineFlushes)
		w.release()
		if w.inbox.empty() {
			return
		}
	}
}

// release ends a claim. What is left to do, or a deadline that has come
// nearer, is the worker goroutine's.
func (w *worker) release() {
	w.wakeReaders()
	if w.closed {
		w.unclaim()
		return
	}
	more := w.ep.HasWork() || w.stopping
	deadline := max(w.ep.Deadline(), w.now.Add(timerSlack))
	if !w.unclaim() {
		return
	}
	if more {
		w.dp.Wake()
	} else {
		w.dp.SetDeadline(deadline)
	}
}

// try runs fn as the worker's owner if that is possible without waiting.
func (w *worker) try(fn func()) bool {
	if w.state.Load() != parked || !w.state.CompareAndSwap(parked, claimed) {
		return false
	}
	w.stats.claims.Add(1)
	w.now = now()
	fn()
	w.serve(inlineFlushes)
	w.release()
	if !w.inbox.empty() {
		w.poke()
	}
	return true
}

// do runs fn as the worker's owner and returns when it has run.
func (w *worker) do(fn func()) {
	if w.try(fn) {
		return
	}
	c := commands.Get().(*command)
	c.fn = fn
	w.inbox.push(&c.note)
	w.poke()
	<-c.done
	c.fn = nil
	commands.Put(c)
}

// post runs fn as the worker's owner, later; it does not wait.
func (w *worker) post(fn func()) {
	c := newCommand(fn)
	w.inbox.push(&c.note)
	if w.state.Load() == parked {
		w.dp.Wake()
	}
}

// shutdown ends the worker: it will be parked for ever, and applications that
// still hold something of it claim it to find that out.
func (w *worker) shutdown() {
	w.ep.CloseAll(w.now, 0, "")
	w.flush(w.conns + flushesPerTurn) // each has one datagram to send
	w.dp.Close()
	w.closed = true
	w.stats.connections.Store(0)
	w.serveInbox()
	w.wakeReaders()
	wakeAll(&w.writers)
	w.state.Store(parked)
	w.poke()
}
