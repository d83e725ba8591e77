package hoststack

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pquic-go/pquic/core/mono"
)

// canSharePort: several sockets may be bound to one address and port.
const canSharePort = true

// Implementation constants.
const (
	// sendBatch is how many messages one sendmmsg takes.
	sendBatch = 64
	// maxGSOSegments is the kernel's UDP_MAX_SEGMENTS before 6.9.
	maxGSOSegments = 64
	// sendPatience is how long WriteBatch waits for room in the socket buffer.
	sendPatience = 10 * time.Millisecond
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// udpSocket is the batched datapath: recvmmsg with GRO in, sendmmsg with GSO
// out, both without blocking the thread. The goroutine itself sleeps in the
// runtime's poller.
//
// All memory the kernel sees is allocated once and reached only through this
// struct, so that nothing is allocated per call.
type udpSocket struct {
	conn  *net.UDPConn
	rc    syscall.RawConn
	fd    uintptr
	ip6   bool // the socket's family is AF_INET6: IPv4 goes mapped
	local netip.AddrPort
	gso   atomic.Bool
	gro   bool

	rx udpReceiver
	tx udpSender

	// armed is the deadline in force, 0 if it has expired. The mutex keeps it
	// and the poller's deadline together: a worker and an application that has
	// just given it up may set it at the same time.
	armMu sync.Mutex
	armed mono.Time
	fine  fineTimer

	wakeFunc func() // Wake, bound once
}

// udpReceiver is the receiving half: one slot per message of a batch.
type udpReceiver struct {
	bufs  []byte // len(hdrs) slots of recvBuffer bytes
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6
	ctl   []rxControl

	read  func(fd uintptr) bool // given to RawConn.Read, made once
	park  func() bool
	n     int
	errno syscall.Errno
}

// udpSender is the sending half.
type udpSender struct {
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6
	ctl   []txControl

	write  func(fd uintptr) bool // given to RawConn.Write, made once
	waited bool
	first  int
	count  int
	n      int
	errno  syscall.Errno
}

func listenConfig(share bool) net.ListenConfig {
	if !share {
		return net.ListenConfig{}
	}
	return net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); cerr != nil {
			return cerr
		}
		return os.NewSyscallError("setsockopt SO_REUSEPORT", err)
	}}
}

// newPlatformUDP sets conn up for batches.
func newPlatformUDP(conn *net.UDPConn, cfg *UDPConfig) (Datapath, error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &udpSocket{conn: conn, rc: rc, local: localAddrPort(conn)}
	s.armed = mono.Never
	if cerr := rc.Control(func(fd uintptr) {
		s.fd = fd
		err = s.setOptions(int(fd), cfg)
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, err
	}
	s.rx.init(cfg.batch())
	s.rx.read = s.tryRead
	s.wakeFunc = s.Wake
	s.tx.init()
	s.tx.write = s.tryWrite
	return s, nil
}

// setOptions asks for what the datapath needs. Offloads and buffer sizes are
// taken as they come; marks and addresses are required.
func (s *udpSocket) setOptions(fd int, cfg *UDPConfig) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	s.ip6 = domain == unix.AF_INET6
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.socketBuffer())
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.socketBuffer())

	type option struct {
		level, name, value int
		label              string
	}
	// PROBE sets DF and leaves the kernel's own idea of the path MTU out.
	// "UDP datagrams MUST NOT be fragmented at the IP layer. In IPv4
	// [IPv4], the Don't Fragment (DF) bit MUST be set if possible, to
	// prevent fragmentation on the path."
	// https://www.rfc-editor.org/rfc/rfc9000#section-14
	required := []option{
		{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER"},
		{unix.IPPROTO_IP, unix.IP_RECVTOS, 1, "IP_RECVTOS"},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1, "IP_PKTINFO"},
	}
	if s.ip6 {
		required = append(required,
			option{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"},
			option{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
			option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"})
	}
	for _, o := range required {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("hoststack: setsockopt %s: %w", o.label, err)
		}
	}
	_, gsoErr := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.Store(gsoErr == nil && !cfg.NoGSO)
	s.gro = !cfg.NoGRO && unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	return nil
}

// setBuffer raises a socket buffer past the system's limit if this process
// may, else up to it.
func setBuffer(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

func (r *udpReceiver) init(n int) {
	r.bufs = make([]byte, n*recvBuffer)
	r.hdrs = make([]mmsghdr, n)
	r.iovs = make([]unix.Iovec, n)
	r.names = make([]unix.RawSockaddrInet6, n)
	r.ctl = make([]rxControl, n)
	for i := range r.hdrs {
		r.iovs[i].Base = &r.bufs[i*recvBuffer]
		r.iovs[i].SetLen(recvBuffer)
		h := &r.hdrs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.ctl[i].b[0]
	}
}

func (t *udpSender) init() {
	t.hdrs = make([]mmsghdr, sendBatch)
	t.iovs = make([]unix.Iovec, sendBatch)
	t.names = make([]unix.RawSockaddrInet6, sendBatch)
	t.ctl = make([]txControl, sendBatch)
	for i := range t.hdrs {
		h := &t.hdrs[i].hdr
		h.Iov = &t.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&t.names[i]))
	}
}

func (s *udpSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *udpSocket) Features() Features {
	return Features{Name: "udp", GSO: s.gso.Load(), GRO: s.gro, ECN: true, PktInfo: true, DontFragment: true}
}

func (s *udpSocket) Close() error {
	s.fine.close()
	return s.conn.Close()
}

// Wake lets the poller's deadline pass.
func (s *udpSocket) Wake() { _ = s.conn.SetReadDeadline(longAgo) }

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// SetDeadline leaves an expired deadline alone: the reader is awake.
func (s *udpSocket) SetDeadline(d mono.Time) {
	s.armMu.Lock()
	defer s.armMu.Unlock()
	if d < s.armed {
		s.arm(d)
	}
}

// prepare sets the deadline for a read. One that is early enough stays: a
// wake-up too many now and then costs less than setting it each time.
func (s *udpSocket) prepare(d mono.Time) {
	s.armMu.Lock()
	defer s.armMu.Unlock()
	if s.armed == 0 || d < s.armed {
		s.arm(d)
	}
}

// expired notes that the poller's deadline has passed.
func (s *udpSocket) expired() {
	s.armMu.Lock()
	defer s.armMu.Unlock()
	s.armed = 0
}

// arm sets the deadline. The mutex is held.
func (s *udpSocket) arm(d mono.Time) {
	s.armed = d
	left := time.Duration(math.MaxInt64)
	if d != mono.Never {
		left = d.Sub(now())
	}
	if left >= fineUnder {
		_ = s.conn.SetReadDeadline(timeOf(d))
		return
	}
	// Without a deadline of the poller's, before the timer can go off and set
	// one.
	_ = s.conn.SetReadDeadline(time.Time{})
	if !s.fine.set(left, s.wakeFunc) {
		_ = s.conn.SetReadDeadline(timeOf(d))
	}
}

func (s *udpSocket) ReadBatch(batch []Packet, deadline mono.Time, park func() bool) (int, error) {
	r := &s.rx
	if park == nil {
		r.receive(s.fd, len(batch))
	} else {
		s.prepare(deadline)
		r.park = park
		r.n = min(len(batch), len(r.hdrs)) // tryRead's limit; then its result
		r.errno = 0
		if err := s.rc.Read(r.read); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return 0, net.ErrClosed
			}
			s.expired()
			return 0, nil
		}
	}
	switch r.errno {
	case 0:
		return s.deliver(batch), nil
	case unix.EBADF, unix.ENOTSOCK:
		return 0, net.ErrClosed
	}
	// Nothing there, or a pending error of an earlier send; the latter says
	// nothing about any connection that loss recovery does not.
	return 0, nil
}

// tryRead is the body of RawConn.Read: true ends the call, false sleeps.
func (s *udpSocket) tryRead(fd uintptr) bool {
	r := &s.rx
	limit := r.n
	r.receive(fd, limit)
	if r.errno != unix.EAGAIN {
		return true
	}
	if r.park() {
		r.n = limit
		return false
	}
	return true
}

// receive calls recvmmsg once; r.n and r.errno are its outcome.
func (r *udpReceiver) receive(fd uintptr, limit int) {
	limit = min(limit, len(r.hdrs))
	for i := range r.hdrs[:limit] {
		h := &r.hdrs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(len(r.ctl[i].b))
	}
	// Without the scheduler's knowledge: the call never blocks.
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd,
		uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(limit), unix.MSG_DONTWAIT, 0, 0)
	r.n, r.errno = int(n), errno
	if errno != 0 {
		r.n = 0
	}
}

// deliver describes the received messages in batch.
func (s *udpSocket) deliver(batch []Packet) int {
	r := &s.rx
	used := 0
	for i := range r.n {
		h := &r.hdrs[i]
		if h.hdr.Flags&unix.MSG_TRUNC != 0 {
			continue
		}
		p := &batch[used]
		p.Payload = r.bufs[i*recvBuffer : i*recvBuffer+int(h.n) : i*recvBuffer+int(h.n)]
		p.Remote = addrPortOf(&r.names[i])
		p.SegmentSize, p.ECN, p.IfIndex = 0, 0, 0
		p.Local = s.local
		r.ctl[i].parse(int(h.hdr.Controllen), p)
		used++
	}
	return used
}

func (s *udpSocket) WriteBatch(batch []Packet) (int, error) {
	done := 0
	for done < len(batch) {
		used := s.describe(batch[done:])
		if used == 0 {
			// One packet takes more messages than there are slots: too many
			// segments without GSO.
			if err := s.writeSplit(&batch[done]); err != nil {
				return done, err
			}
			done++
			continue
		}
		n, err := s.send(batch[done:done+used], used)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// describe prepares messages for as many packets as fit, one message per
// packet, and returns their number. Packets that need splitting end the run.
func (s *udpSocket) describe(batch []Packet) int {
	t := &s.tx
	gso := s.gso.Load()
	for i := range batch {
		p := &batch[i]
		segments := p.Segments()
		if i == len(t.hdrs) || segments > 1 && (!gso || segments > maxGSOSegments) {
			return i
		}
		s.message(i, p, p.Payload, segments > 1)
	}
	return len(batch)
}

// message fills slot i with payload, sent as p says.
func (s *udpSocket) message(i int, p *Packet, payload []byte, segmented bool) {
	t := &s.tx
	t.iovs[i].Base = unsafe.SliceData(payload)
	t.iovs[i].SetLen(len(payload))
	h := &t.hdrs[i].hdr
	h.Namelen = putSockaddr(&t.names[i], p.Remote, p.IfIndex, s.ip6)
	n := t.ctl[i].build(p, segmented)
	h.Control = nil
	if n > 0 {
		h.Control = &t.ctl[i].b[0]
	}
	h.SetControllen(n)
}

// send hands the first used messages to the kernel. It returns how many
// packets are dealt with and the error of the next.
func (s *udpSocket) send(batch []Packet, used int) (int, error) {
	t := &s.tx
	done := 0
	for done < used {
		t.first, t.count = done, used-done
		s.transmit(s.fd)
		switch t.errno {
		case 0:
			done += t.n
			continue
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.ENOBUFS:
			if !s.waitWritable() {
				return used, nil // dropped, as a full queue further on would
			}
			continue
		case unix.EBADF, unix.ENOTSOCK:
			return done, net.ErrClosed
		}
		p := &batch[done]
		if p.Segments() > 1 && s.offloadRefused(t.errno) {
			if err := s.writeSplit(p); err != nil {
				return done, err
			}
			// writeSplit has overwritten the slots: describe the rest again.
			return done + 1, nil
		}
		return done, sendError(t.errno)
	}
	return done, nil
}

// offloadRefused reports whether errno may mean that this run cannot be
// segmented below, and stops using GSO where it means that it never can.
func (s *udpSocket) offloadRefused(errno syscall.Errno) bool {
	switch errno {
	case unix.EIO:
		// The device has no checksum offload, which GSO depends on.
		s.gso.Store(false)
		return true
	case unix.EINVAL, unix.EMSGSIZE:
		// A segment larger than the interface's MTU, or more than the device
		// takes: one by one, each datagram gets its own verdict.
		return true
	}
	return false
}

// writeSplit sends each datagram of p as a message of its own.
func (s *udpSocket) writeSplit(p *Packet) error {
	t := &s.tx
	rest := p.Payload
	size := p.SegmentSize
	if size <= 0 {
		size = len(rest)
	}
	var first error
	for len(rest) > 0 {
		n := 0
		for n < len(t.hdrs) && len(rest) > 0 {
			k := min(size, len(rest))
			s.message(n, p, rest[:k], false)
			rest = rest[k:]
			n++
		}
		for sent := 0; sent < n; {
			t.first, t.count = sent, n-sent
			s.transmit(s.fd)
			switch t.errno {
			case 0:
				sent += t.n
			case unix.EINTR:
			case unix.EAGAIN, unix.ENOBUFS:
				if !s.waitWritable() {
					return first
				}
			default:
				if first == nil {
					first = sendError(t.errno)
				}
				sent++
			}
		}
	}
	return first
}

// transmit calls sendmmsg once for t.count messages from t.first on.
func (s *udpSocket) transmit(fd uintptr) {
	t := &s.tx
	if t.count == 1 {
		// sendmsg(2) tells a short write from none; for one message it is also cheaper.
		_, _, t.errno = syscall.RawSyscall(unix.SYS_SENDMSG, fd,
			uintptr(unsafe.Pointer(&t.hdrs[t.first].hdr)), unix.MSG_DONTWAIT)
		t.n = 1
	} else {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&t.hdrs[t.first])), uintptr(t.count), unix.MSG_DONTWAIT, 0, 0)
		t.n, t.errno = int(n), errno
	}
	if t.errno != 0 {
		t.n = 0
	}
	runtime.KeepAlive(t)
}

// waitWritable sleeps until the socket's buffer has room, for a bounded time.
func (s *udpSocket) waitWritable() bool {
	runtime.Gosched()
	s.tx.waited = false
	_ = s.conn.SetWriteDeadline(time.Now().Add(sendPatience))
	return s.rc.Write(s.tx.write) == nil
}

// tryWrite is the body of RawConn.Write: the poller said the socket is
// writable when it is called the second time.
func (s *udpSocket) tryWrite(uintptr) bool {
	ready := s.tx.waited
	s.tx.waited = true
	return ready
}

// sendError gives errno the meaning engines know.
func sendError(errno syscall.Errno) error {
	if errno == unix.EMSGSIZE {
		return ErrTooLarge
	}
	return os.NewSyscallError("sendmsg", errno)
}
