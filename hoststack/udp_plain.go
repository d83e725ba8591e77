package hoststack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// plainUDP is the portable datapath: package net alone, one datagram per
// system call. Since package net cannot try a read without sleeping, a
// goroutine reads ahead into a few buffers.
type plainUDP struct {
	conn     *net.UDPConn
	local    netip.AddrPort
	df       bool
	filled   chan plainDatagram
	free     chan []byte
	returned [][]byte // handed out by the last ReadBatch
	wake     chan struct{}

	mu       sync.Mutex
	timer    *time.Timer
	deadline mono.Time
	closed   chan struct{}
	once     sync.Once
	reader   sync.WaitGroup
}

type plainDatagram struct {
	b    []byte
	n    int
	from netip.AddrPort
}

// plainReadAhead is how many datagrams wait in memory: with 64 KiB each, no
// more than a socket buffer's worth.
const plainReadAhead = 32

func newPlainUDP(conn *net.UDPConn, cfg *UDPConfig) (Datapath, error) {
	// What cannot be set is not needed for correctness, only for speed.
	_ = conn.SetReadBuffer(cfg.socketBuffer())
	_ = conn.SetWriteBuffer(cfg.socketBuffer())
	p := &plainUDP{
		conn:     conn,
		local:    localAddrPort(conn),
		df:       setDontFragment(conn),
		filled:   make(chan plainDatagram, plainReadAhead),
		free:     make(chan []byte, plainReadAhead),
		wake:     make(chan struct{}, 1),
		closed:   make(chan struct{}),
		deadline: mono.Never,
	}
	for range plainReadAhead {
		p.free <- make([]byte, recvBuffer)
	}
	p.timer = time.AfterFunc(time.Hour, p.Wake)
	p.timer.Stop()
	p.reader.Add(1)
	go p.readAhead()
	return p, nil
}

// readAhead moves datagrams from the socket into buffers until it is closed.
func (p *plainUDP) readAhead() {
	defer p.reader.Done()
	defer close(p.filled)
	for {
		var b []byte
		select {
		case b = <-p.free:
		case <-p.closed:
			return
		}
		n, from, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil && errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Windows reports the ICMP answer to an earlier datagram here.
			n = 0
		}
		select {
		case p.filled <- plainDatagram{b: b, n: n, from: unmapAddrPort(from)}:
		case <-p.closed:
			return
		}
	}
}

func (p *plainUDP) LocalAddr() netip.AddrPort { return p.local }

func (p *plainUDP) Features() Features { return Features{Name: "udp-plain", DontFragment: p.df} }

func (p *plainUDP) ReadBatch(batch []Packet, deadline mono.Time, park func() bool) (int, error) {
	for _, b := range p.returned {
		p.free <- b
	}
	p.returned = p.returned[:0]
	n, open := p.collect(batch, 0)
	for n == 0 && open && park != nil {
		p.arm(deadline)
		if !park() {
			return 0, nil
		}
		select {
		case d, ok := <-p.filled:
			if ok {
				n = p.accept(d, batch, 0)
			}
			n, open = p.collect(batch, n)
		case <-p.wake:
			return 0, nil
		}
	}
	if n == 0 && !open {
		return 0, net.ErrClosed
	}
	return n, nil
}

// collect takes what is ready, after the first n entries.
func (p *plainUDP) collect(batch []Packet, n int) (int, bool) {
	for n < len(batch) {
		select {
		case d, ok := <-p.filled:
			if !ok {
				return n, false
			}
			n = p.accept(d, batch, n)
		default:
			return n, true
		}
	}
	return n, true
}

func (p *plainUDP) accept(d plainDatagram, batch []Packet, n int) int {
	p.returned = append(p.returned, d.b)
	if d.n == 0 {
		return n
	}
	batch[n] = Packet{Payload: d.b[:d.n], Remote: d.from, Local: p.local}
	return n + 1
}

func (p *plainUDP) WriteBatch(batch []Packet) (int, error) {
	for i := range batch {
		q := &batch[i]
		size := q.SegmentSize
		if size <= 0 {
			size = len(q.Payload)
		}
		for rest := q.Payload; len(rest) > 0; {
			k := min(size, len(rest))
			if _, err := p.conn.WriteToUDPAddrPort(rest[:k], q.Remote); err != nil {
				return i, plainSendError(err)
			}
			rest = rest[k:]
		}
	}
	return len(batch), nil
}

func plainSendError(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		return net.ErrClosed
	case isMessageTooLong(err):
		return ErrTooLarge
	}
	return err
}

// arm sets the wake-up timer; later deadlines than the current one are kept.
func (p *plainUDP) arm(d mono.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = d
	if d == mono.Never {
		p.timer.Stop()
		return
	}
	p.timer.Reset(max(0, d.Sub(now())))
}

func (p *plainUDP) SetDeadline(d mono.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d < p.deadline {
		p.deadline = d
		p.timer.Reset(max(0, d.Sub(now())))
	}
}

func (p *plainUDP) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *plainUDP) Close() error {
	err := net.ErrClosed
	p.once.Do(func() {
		err = p.conn.Close()
		close(p.closed)
		p.timer.Stop()
		p.reader.Wait()
	})
	return err
}
