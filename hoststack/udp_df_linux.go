package hoststack

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// setDontFragment makes conn send with DF set and reports whether it does.
func setDontFragment(conn *net.UDPConn) bool {
	rc, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var err4, err6 error
	if rc.Control(func(fd uintptr) {
		err4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		err6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}) != nil {
		return false
	}
	return err4 == nil || err6 == nil
}

func isMessageTooLong(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
