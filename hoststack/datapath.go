package hoststack

import (
	"errors"
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
)

// A Packet is one entry of a batch: a run of UDP datagrams between the same
// two addresses, laid out back to back.
type Packet struct {
	// Payload holds the datagrams. All but the last are SegmentSize bytes long.
	// Received payloads belong to the datapath and stay valid until its next
	// ReadBatch; the reader may overwrite them. Payloads to be sent stay the
	// caller's and are not kept after WriteBatch.
	Payload []byte

	// SegmentSize is the length in bytes of each datagram but the last; 0
	// means that Payload is a single datagram.
	SegmentSize int

	// Remote is the peer's address. IPv4 addresses are never IPv4-mapped.
	Remote netip.AddrPort

	// Local is the address on this host: where a received datagram was sent
	// to, or the source to send from. On sending, an invalid or unspecified
	// address leaves the choice to the system. The port is that of the socket.
	Local netip.AddrPort

	// IfIndex is the interface a datagram came in by, 0 if unknown, or must
	// leave by, 0 for the route's.
	IfIndex uint32

	// ECN is the codepoint in the IP header, 0 to 3.
	// https://www.rfc-editor.org/rfc/rfc3168#section-5
	ECN uint8
}

// Segments returns the number of datagrams in p.
func (p *Packet) Segments() int {
	if p.SegmentSize <= 0 || len(p.Payload) <= p.SegmentSize {
		return 1
	}
	return (len(p.Payload) + p.SegmentSize - 1) / p.SegmentSize
}

// MaxRun is the largest Payload of a Packet in bytes: what one IPv4 datagram,
// or one run handed to segmentation offload, can carry.
const MaxRun = 65535 - 20 - 8

// Features tells what a datapath can do, for reports and for engines that
// adapt to it.
type Features struct {
	Name         string // "udp" or "udp-plain"
	GSO          bool   // runs leave in one system call and are split below
	GRO          bool   // runs arrive merged
	ECN          bool   // codepoints are read and written
	PktInfo      bool   // local address and interface are read and written
	DontFragment bool   // datagrams are sent with DF set, whatever their size
}

// A Datapath moves datagrams between one worker and the network. Only Wake,
// SetDeadline and Features may be called while another goroutine is in
// ReadBatch; WriteBatch may too, as long as its callers take turns.
type Datapath interface {
	// ReadBatch fills batch with what has arrived and returns how many entries
	// it used. If nothing has arrived it calls park, once it is sure that a
	// datagram arriving from now on will be noticed. If park is nil or answers
	// false, ReadBatch returns 0 at once. Otherwise it sleeps until a datagram
	// arrives, the deadline passes or Wake is called; it then may call park
	// again or return 0.
	//
	// A datapath never returns an error for one bad datagram or a passing
	// condition of the network; an error other than nil means it is closed.
	ReadBatch(batch []Packet, deadline mono.Time, park func() bool) (int, error)

	// WriteBatch sends the entries in order and returns how many it has dealt
	// with. It waits for room in the socket's buffer for a bounded time only and
	// drops what still does not fit. An error concerns batch[n], which was not (or not wholly) sent;
	// the caller goes on with batch[n+1:]. Errors are ErrTooLarge, or the
	// system's own (no route, no such source address, no permission).
	WriteBatch(batch []Packet) (n int, err error)

	// SetDeadline brings a sleeping ReadBatch's deadline forward. Later
	// deadlines than the current one are ignored.
	SetDeadline(deadline mono.Time)

	// Wake makes a ReadBatch whose park has answered true, or is just being
	// asked, return 0. At other times it may be forgotten: a reader looks for
	// work of its own in park.
	Wake()

	// LocalAddr is the address the datapath is bound to.
	LocalAddr() netip.AddrPort

	Features() Features

	// Close makes ReadBatch and WriteBatch fail with net.ErrClosed.
	Close() error
}

// ErrTooLarge is reported for a datagram larger than the outgoing interface's
// MTU: path MTU discovery went past what the first hop carries.
var ErrTooLarge = errors.New("hoststack: datagram exceeds the interface's MTU")
