//go:build !linux && !darwin && !windows

package hoststack

import "net"

// setDontFragment: this system has no portable way to set DF.
func setDontFragment(*net.UDPConn) bool { return false }

func isMessageTooLong(error) bool { return false }
