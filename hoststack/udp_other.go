//go:build !linux

package hoststack

import "net"

// canSharePort: sockets sharing a port would not share its datagrams.
const canSharePort = false

func listenConfig(bool) net.ListenConfig { return net.ListenConfig{} }

func newPlatformUDP(conn *net.UDPConn, cfg *UDPConfig) (Datapath, error) {
	return newPlainUDP(conn, cfg)
}
