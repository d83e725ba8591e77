package linkemu

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// ErrUnavailable is wrapped by what [New] returns on a machine that cannot emulate links: another
// operating system, missing privileges, no /dev/net/tun, no ip command.
var ErrUnavailable = errors.New("linkemu: links cannot be emulated here")

// A Config describes hosts and the links between them.
type Config struct {
	Links []LinkConfig // at least one, at most 200
	// Seed fixes the random choices of every link; 0 is a seed like any other.
	Seed uint64
}

// A LinkConfig is a link between two hosts, each being made when its name is first used.
//
// Link i (counting from 0) has the networks 10.88.i.0/24 and fd88:i::/64, with .1 for side A and
// .2 for side B, on interfaces called link0, link1, … in both hosts.
type LinkConfig struct {
	A, B       string // names of the hosts; "client" and "server" if empty
	AToB, BToA Shape
	MTU        int // of the interfaces, in bytes; 1500 if 0
	// NAT puts side A behind a network address translator for UDP whose bindings can be changed.
	// Until the first change its external addresses and ports are those of A.
	NAT    bool
	Script []Step // plays from the moment New returns
	// Observe, if set, is called on the link's own thread for every unicast IP packet, which it
	// may read during the call only. It must be quick: it delays the link.
	Observe func(Observation)
}

// An Observation is a packet on a link.
type Observation struct {
	At        time.Duration // when it came, since the network was made
	Direction Direction
	Fate      Fate
	Packet    []byte // from the IP header on, as side B sends or gets it
}

func (c *Config) check() error {
	if len(c.Links) == 0 || len(c.Links) > 200 {
		return fmt.Errorf("linkemu: %d links, want 1 to 200", len(c.Links))
	}
	for i := range c.Links {
		l := &c.Links[i]
		l.A, l.B = cmp.Or(l.A, "client"), cmp.Or(l.B, "server")
		l.MTU = cmp.Or(l.MTU, 1500)
		if l.A == l.B {
			return fmt.Errorf("linkemu: link %d joins %q with itself", i, l.A)
		}
		if l.MTU < 1280 || l.MTU > 65521 {
			return fmt.Errorf("linkemu: link %d has MTU %d, want 1280 to 65521", i, l.MTU)
		}
		if err := cmp.Or(l.AToB.Validate(), l.BToA.Validate()); err != nil {
			return fmt.Errorf("link %d: %w", i, err)
		}
		for _, s := range l.Script {
			if s.Rebind != KeepBindings && !l.NAT {
				return fmt.Errorf("linkemu: the script of link %d rebinds, but the link has no NAT", i)
			}
		}
	}
	return nil
}

// addressA and addressB are the addresses of a link's ends.
func addressA(link int, v6 bool) netip.Addr { return linkAddress(link, v6, 1) }
func addressB(link int, v6 bool) netip.Addr { return linkAddress(link, v6, 2) }

// externalAddress is the n-th address that the link's NAT moves to.
func externalAddress(link int, v6 bool, n int) netip.Addr {
	return linkAddress(link, v6, byte(100+n))
}

func linkAddress(link int, v6 bool, host byte) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x88, 3: byte(link), 15: host})
	}
	return netip.AddrFrom4([4]byte{10, 88, byte(link), host})
}

// Stats are what one direction of a link did so far.
type Stats struct {
	Packets, Bytes uint64         // unicast IP packets that came, and their bytes
	Fates          [causes]uint64 // packets by [Cause]
	Corrupted      uint64
	Marked         uint64 // CE marks that the link set
	Errors         uint64 // packets that the kernel did not take back
	// Late counts deliveries by how late they were: below 64 µs, 128 µs, 256 µs, … and the rest.
	Late [10]uint64
	// MaxLate is the latest delivery.
	MaxLate time.Duration
}

// String is one line for a log.
func (s Stats) String() string {
	out := fmt.Sprintf("%d packets, %d bytes", s.Packets, s.Bytes)
	for c := QueueFull; c < causes; c++ {
		if s.Fates[c] > 0 {
			out += fmt.Sprintf(", %s %d", c, s.Fates[c])
		}
	}
	for _, x := range []struct {
		name string
		n    uint64
	}{{"corrupted", s.Corrupted}, {"marked", s.Marked}, {"errors", s.Errors}} {
		if x.n > 0 {
			out += fmt.Sprintf(", %s %d", x.name, x.n)
		}
	}
	return out + fmt.Sprintf(", at most %v late", s.MaxLate.Round(time.Microsecond))
}

// counters are the Stats while the link's thread writes them and others read.
type counters struct {
	packets, bytes, corrupted, marked, errors atomic.Uint64
	fates                                     [causes]atomic.Uint64
	late                                      [10]atomic.Uint64
	maxLate                                   atomic.Int64
}

func (c *counters) stats() Stats {
	s := Stats{
		Packets: c.packets.Load(), Bytes: c.bytes.Load(),
		Corrupted: c.corrupted.Load(), Marked: c.marked.Load(), Errors: c.errors.Load(),
		MaxLate: time.Duration(c.maxLate.Load()),
	}
	for i := range c.fates {
		s.Fates[i] = c.fates[i].Load()
	}
	for i := range c.late {
		s.Late[i] = c.late[i].Load()
	}
	return s
}

func (c *counters) delivered(late time.Duration) {
	bucket := 0
	for limit := 64 * time.Microsecond; bucket < len(c.late)-1 && late >= limit; limit *= 2 {
		bucket++
	}
	c.late[bucket].Add(1)
	if int64(late) > c.maxLate.Load() {
		c.maxLate.Store(int64(late))
	}
}
