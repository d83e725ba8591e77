// Package capture records the datagrams between a client and a server and finds out what they did:
// which versions, whether a Retry, a resumption or a key update took place, which frames each side
// sent, how far the server went before it had validated the client's address.
//
// It decrypts with the endpoints' TLS key logs and shares no code with any of them: it is the tests'
// witness, so it must not repeat the mistakes of who is tested.
//
// It knows QUIC versions 1 and 2. What it cannot decrypt it counts ([Conn.Undecryptable]).
package capture

import (
	"net/netip"
	"sync"
	"time"
)

// A Side is the client or the server.
type Side int

const (
	Client Side = iota
	Server
)

func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

func (s Side) other() Side { return 1 - s }

// A Datagram is one UDP payload, seen where it was sent or a little later.
type Datagram struct {
	At             time.Duration
	From           Side
	Client, Server netip.AddrPort // their addresses as the server sees them
	ECN            uint8
	Lost           bool // it did not arrive
	Payload        []byte
}

// A Log records datagrams. It is safe for concurrent use.
type Log struct {
	mu        sync.Mutex
	datagrams []Datagram
}

// Add records a copy of d.
func (l *Log) Add(d Datagram) {
	d.Payload = append([]byte(nil), d.Payload...)
	l.mu.Lock()
	l.datagrams = append(l.datagrams, d)
	l.mu.Unlock()
}

// Datagrams returns what was recorded so far.
func (l *Log) Datagrams() []Datagram {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.datagrams[:len(l.datagrams):len(l.datagrams)]
}
