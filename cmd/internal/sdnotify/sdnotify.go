// Package sdnotify tells systemd how the service is, if systemd asked for it.
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
package sdnotify

import (
	"net"
	"os"
)

// Ready tells that the service has started.
func Ready() { send("READY=1") }

// Stopping tells that the service is about to end.
func Stopping() { send("STOPPING=1") }

// send tries once: a service does not fail because nobody listens.
func send(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
