package linkemu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// spin is how long before a delivery the thread stops sleeping and watches the clock: about
	// what waking up costs.
	spin = 30 * time.Microsecond
	// drain limits the packets read from one device in a row, so that the other direction and
	// the deliveries get their turn.
	drain = 32
)

// A Link joins two hosts. One thread owns everything on it.
type Link struct {
	index   int
	began   time.Time
	ways    [2]way // by which side sends: A, B
	nat     *nat
	player  player
	observe func(Observation)
	rng     *rand.Rand
	free    [][]byte // frame buffers
	bufSize int

	wake    int // eventfd
	mu      sync.Mutex
	orders  []func()
	closing bool
	done    chan struct{} // closed when the thread has ended; nil if it never began
}

// A way is one direction of a link.
type way struct {
	direction Direction
	tap       int // the device of the sending side
	shaper    *Shaper
	pending   deliveries
	counters  counters
}

func newLink(n *Network, index int, c *LinkConfig, a, b *Host, seed uint64) (*Link, error) {
	l := &Link{
		index: index, began: n.began, observe: c.Observe, wake: -1,
		bufSize: c.MTU + ethernetHeader + 4, rng: rand.New(rand.NewPCG(seed, uint64(index))),
	}
	l.ways[0] = way{direction: AToB, tap: -1, shaper: NewShaper(c.AToB, seed+2*uint64(index))}
	l.ways[1] = way{direction: BToA, tap: -1, shaper: NewShaper(c.BToA, seed+2*uint64(index)+1)}
	if c.NAT {
		l.nat = newNAT(seed+uint64(index), func(v6 bool, i int) netip.Addr { return externalAddress(index, v6, i) })
	}
	for i, h := range []*Host{a, b} {
		w := &l.ways[i]
		err := h.Do(func() (err error) { w.tap, err = openTAP(l.device()); return err })
		if err == nil {
			err = h.ip(l.interfaceScript(w.direction, c.MTU))
		}
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	var err error
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// openTAP makes a TAP device in the namespace of the calling thread. It goes when it is closed.
func openTAP(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("%w: /dev/net/tun: %w", ErrUnavailable, err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return -1, errors.Join(fmt.Errorf("making TAP device %s: %w", name, err), unix.Close(fd))
	}
	return fd, nil
}

func (l *Link) start(script []Step) {
	l.done = make(chan struct{})
	l.player.play(l.now(), script)
	go l.run()
}

func (l *Link) now() time.Duration { return time.Since(l.began) }

// Set changes the shape of one or both directions for the packets that come from now on.
func (l *Link) Set(d Direction, change func(*Shape)) error {
	var err error
	if e := l.order(func() { err = l.set(d, change) }); e != nil {
		return e
	}
	return err
}

func (l *Link) set(d Direction, change func(*Shape)) error {
	for i := range l.ways {
		if w := &l.ways[i]; w.direction&d != 0 {
			s := w.shaper.Shape()
			change(&s)
			if err := s.Validate(); err != nil {
				return err
			}
			w.shaper.SetShape(s)
		}
	}
	return nil
}

// Rebind changes the bindings of the link's NAT.
func (l *Link) Rebind(kind Rebind) error {
	if l.nat == nil {
		return errors.New("linkemu: this link has no NAT to rebind")
	}
	return l.order(func() { l.nat.rebind(kind) })
}

// Play starts a script, in place of the one that played.
func (l *Link) Play(script []Step) error {
	for _, s := range script {
		if s.Rebind != KeepBindings && l.nat == nil {
			return errors.New("linkemu: the script rebinds, but the link has no NAT")
		}
	}
	return l.order(func() { l.player.play(l.now(), script) })
}

// Stats returns what a direction did; for Both, the sums.
func (l *Link) Stats(d Direction) Stats {
	switch d {
	case AToB:
		return l.ways[0].counters.stats()
	case BToA:
		return l.ways[1].counters.stats()
	}
	a, b := l.ways[0].counters.stats(), l.ways[1].counters.stats()
	a.Packets, a.Bytes = a.Packets+b.Packets, a.Bytes+b.Bytes
	a.Corrupted, a.Marked, a.Errors = a.Corrupted+b.Corrupted, a.Marked+b.Marked, a.Errors+b.Errors
	a.MaxLate = max(a.MaxLate, b.MaxLate)
	for i := range a.Fates {
		a.Fates[i] += b.Fates[i]
	}
	for i := range a.Late {
		a.Late[i] += b.Late[i]
	}
	return a
}

// order runs f on the link's thread and waits for it.
func (l *Link) order(f func()) error {
	done := make(chan struct{})
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return errClosed
	}
	l.orders = append(l.orders, func() { f(); close(done) })
	l.mu.Unlock()
	l.ring()
	select {
	case <-done:
		return nil
	case <-l.done:
		return errClosed
	}
}

func (l *Link) ring() {
	_, _ = unix.Write(l.wake, []byte{0: 1, 7: 0}) // fails only when the counter is full: it is rung
}

func (l *Link) close() error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	if l.done != nil {
		l.ring()
		<-l.done
	}
	var errs []error
	for _, fd := range []int{l.wake, l.ways[0].tap, l.ways[1].tap} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// run is the link's thread.
func (l *Link) run() {
	defer close(l.done)
	runtime.LockOSThread() // never unlocked: the thread's priority dies with it
	beOnTime()
	fds := []unix.PollFd{
		{Fd: int32(l.ways[0].tap), Events: unix.POLLIN},
		{Fd: int32(l.ways[1].tap), Events: unix.POLLIN},
		{Fd: int32(l.wake), Events: unix.POLLIN},
	}
	for {
		l.work()
		var timeout *unix.Timespec
		if at, ok := l.next(); ok {
			ts := unix.NsecToTimespec(int64(max(at-l.now()-spin, 0)))
			timeout = &ts
		}
		if _, err := unix.Ppoll(fds, timeout, nil); err != nil && err != unix.EINTR {
			return
		}
		if fds[2].Revents != 0 && !l.obey() {
			return
		}
		for i := range l.ways {
			if fds[i].Revents&unix.POLLIN != 0 {
				l.receive(&l.ways[i])
			}
		}
	}
}

// beOnTime lets the calling thread wake when it asked to. What the kernel refuses only costs accuracy.
func beOnTime() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	priority := struct{ v int32 }{10}
	const schedFIFO = 1
	_, _, _ = unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, schedFIFO, uintptr(unsafe.Pointer(&priority)))
}

// work does what is due, watching the clock while the next thing is near.
func (l *Link) work() {
	for {
		now := l.now()
		for {
			s, ok := l.player.due(now)
			if !ok {
				break
			}
			if s.Set != nil {
				_ = l.set(s.Direction, s.Set) // an impossible shape changes nothing
			}
			if l.nat != nil {
				l.nat.rebind(s.Rebind)
			}
		}
		for i := range l.ways {
			l.deliver(&l.ways[i], &l.ways[1-i])
		}
		if at, ok := l.next(); !ok || at > l.now()+spin {
			return
		}
	}
}

// next returns when something is due.
func (l *Link) next() (time.Duration, bool) {
	at, ok := l.player.next()
	for i := range l.ways {
		if p := &l.ways[i].pending; !p.empty() && (!ok || p.first().at < at) {
			at, ok = p.first().at, true
		}
	}
	return at, ok
}

// obey runs the orders; it returns false if the link is to end.
func (l *Link) obey() bool {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
	l.mu.Lock()
	orders, closing := l.orders, l.closing
	l.orders = nil
	l.mu.Unlock()
	for _, f := range orders {
		f()
	}
	return !closing
}

// receive reads what the sending side put on the device.
func (l *Link) receive(w *way) {
	for range drain {
		buf := l.buffer()
		n, err := unix.Read(w.tap, buf)
		if err != nil {
			l.free = append(l.free, buf)
			return
		}
		l.admit(w, buf, n)
	}
}

func (l *Link) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b
	}
	return make([]byte, l.bufSize)
}

// admit decides what happens to a frame.
func (l *Link) admit(w *way, buf []byte, n int) {
	now := l.now()
	p, ok := parsePacket(buf[:n])
	if !ok {
		// Address resolution of addresses that a test added, multicast: not what is measured.
		w.pending.push(delivery{at: now, buf: buf, n: n})
		return
	}
	c := &w.counters
	c.packets.Add(1)
	c.bytes.Add(uint64(len(p.b)))
	internal, bound := l.translate(w, &p)
	fate := Fate{Cause: NoBinding}
	if bound {
		fate = w.shaper.Admit(now, len(p.b))
	}
	l.alter(w, &p, &fate)
	c.fates[fate.Cause].Add(1)
	if l.observe != nil {
		l.observe(Observation{At: now, Direction: w.direction, Fate: fate, Packet: p.b})
	}
	if internal.IsValid() {
		p.setDestination(internal)
	}
	if fate.Cause != Delivered {
		l.free = append(l.free, buf)
		return
	}
	w.pending.push(delivery{at: fate.At, counted: true, buf: buf, n: n})
}

// translate passes a packet through the NAT. A packet from A leaves with its external address; for
// one to A it returns the internal address to deliver it to, if that is another one, or false if there
// is no binding.
func (l *Link) translate(w *way, p *packet) (internal netip.AddrPort, bound bool) {
	if l.nat == nil || !p.isUDP() {
		return internal, true
	}
	if w.direction == BToA {
		return l.nat.inbound(p.destination())
	}
	l.nat.outbound(p)
	return internal, true
}

// alter does to a packet what its fate says.
func (l *Link) alter(w *way, p *packet, f *Fate) {
	if f.Cause != Delivered {
		return
	}
	if f.Corrupt {
		p.flip(l.rng.Uint64())
		w.counters.corrupted.Add(1)
	}
	if f.Bleach && p.ecn() != 0 {
		p.setECN(0)
	}
	const congestionExperienced = 3
	if f.MarkCE && p.ecn() != 0 && p.ecn() != congestionExperienced {
		p.setECN(congestionExperienced)
		w.counters.marked.Add(1)
	}
}

// deliver writes the packets of w that are due to the other side's device.
func (l *Link) deliver(w, other *way) {
	for !w.pending.empty() {
		now := l.now()
		if w.pending.first().at > now {
			return
		}
		d := w.pending.pop()
		if d.counted {
			w.counters.delivered(now - d.at)
		}
		if _, err := unix.Write(other.tap, d.buf[:d.n]); err != nil && d.counted {
			w.counters.errors.Add(1)
		}
		l.free = append(l.free, d.buf)
	}
}
