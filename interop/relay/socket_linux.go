package relay

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A socket is a UDP socket that reads and writes ECN marks.
type socket struct {
	*net.UDPConn
	v6  bool
	oob [128]byte // for read, which one goroutine calls
}

func listen(a *net.UDPAddr) (*socket, error) {
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(8 << 20) // as much as the system allows
	_ = c.SetWriteBuffer(8 << 20)
	s := &socket{UDPConn: c, v6: a.IP.To4() == nil}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if s.v6 {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		} else {
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		}
	})
	if err == nil {
		err = set
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) addr() netip.AddrPort { return unmap(s.LocalAddr().(*net.UDPAddr).AddrPort()) }

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// read reads a datagram and its ECN codepoint.
func (s *socket) read(b []byte) (n int, ecn uint8, from netip.AddrPort, err error) {
	n, m, _, from, err := s.ReadMsgUDPAddrPort(b, s.oob[:])
	if err != nil {
		return 0, 0, from, err
	}
	control := s.oob[:m]
	for len(control) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		tos := h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS ||
			h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS
		if tos && len(data) > 0 {
			ecn = data[0] & 3
		}
		control = rest
	}
	return n, ecn, unmap(from), nil
}

// write sends a datagram with an ECN codepoint.
func (s *socket) write(b []byte, ecn uint8, to netip.AddrPort) error {
	var control []byte
	if ecn != 0 {
		level, kind := int32(unix.IPPROTO_IP), int32(unix.IP_TOS)
		if s.v6 {
			level, kind = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		control = controlMessage(level, kind, ecn)
	}
	_, _, err := s.WriteMsgUDPAddrPort(b, control, to)
	return err
}
