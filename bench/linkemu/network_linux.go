package linkemu

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Network is a set of hosts joined by links, alive until Close.
type Network struct {
	began time.Time
	hosts []*Host
	links []*Link

	closing  sync.Once
	closeErr error
}

// New makes the hosts and links of c and starts the links. It raises GOMAXPROCS if that leaves too
// few processors of the runtime for the links: a link's thread must find an idle one whenever it wakes,
// even while the kernel keeps the threads that hold the others from running.
func New(c Config) (*Network, error) {
	c.Links = append([]LinkConfig(nil), c.Links...)
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := available(); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(c.Links)+4))
	n := &Network{began: time.Now()}
	if err := n.build(&c); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// available says what is missing to make namespaces and devices.
func available() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: no ip command (package iproute2)", ErrUnavailable)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: /dev/net/tun: %w", ErrUnavailable, err)
	}
	return unix.Close(fd)
}

func (n *Network) build(c *Config) error {
	for i := range c.Links {
		l := &c.Links[i]
		a, err := n.host(l.A)
		if err != nil {
			return err
		}
		b, err := n.host(l.B)
		if err != nil {
			return err
		}
		link, err := newLink(n, i, l, a, b, c.Seed)
		if err != nil {
			return fmt.Errorf("linkemu: link %d: %w", i, err)
		}
		n.links = append(n.links, link)
	}
	for i, l := range n.links {
		l.start(c.Links[i].Script)
	}
	return nil
}

// host returns the host of that name, making it if need be.
func (n *Network) host(name string) (*Host, error) {
	if h := n.Host(name); h != nil {
		return h, nil
	}
	h, err := newHost(name)
	if err == nil {
		n.hosts = append(n.hosts, h)
	}
	return h, err
}

// Host returns the host of that name, nil if there is none.
func (n *Network) Host(name string) *Host {
	for _, h := range n.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// Hosts returns the names of the hosts in the order of their first link.
func (n *Network) Hosts() []string {
	var names []string
	for _, h := range n.hosts {
		names = append(names, h.name)
	}
	return names
}

// Link returns the i-th link, counting from 0.
func (n *Network) Link(i int) *Link { return n.links[i] }

// Close kills what runs in the hosts and takes the links and the hosts away. Later calls return
// what the first one returned.
func (n *Network) Close() error {
	n.closing.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Network) close() error {
	for _, h := range n.hosts {
		h.killAll()
	}
	var errs []error
	for _, l := range n.links {
		errs = append(errs, l.close())
	}
	for _, h := range n.hosts {
		h.close()
	}
	return errors.Join(errs...)
}

// addrs are the addresses of this side of link i and of the other side, v4 first.
func (l *Link) addrs(d Direction) (own, peer []netip.Addr) {
	for _, v6 := range []bool{false, true} {
		a, b := addressA(l.index, v6), addressB(l.index, v6)
		if d == BToA {
			a, b = b, a
		}
		own, peer = append(own, a), append(peer, b)
	}
	return own, peer
}

// interfaceScript is what the ip command is to do in the host at one end of the link; d is the
// direction in which that host sends. Neighbours are fixed, so that neither ARP nor neighbour
// discovery shows up in a measurement.
func (l *Link) interfaceScript(d Direction, mtu int) string {
	name, mac, peerMAC := l.device(), macA(l.index), macB(l.index)
	if d == BToA {
		mac, peerMAC = peerMAC, mac
	}
	own, peer := l.addrs(d)
	if d == BToA && l.nat != nil {
		for i := 1; i <= natPool; i++ {
			peer = append(peer, externalAddress(l.index, false, i), externalAddress(l.index, true, i))
		}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "link set dev %s address %s mtu %d txqueuelen 10000\n", name, mac, mtu)
	if haveIPv6() {
		fmt.Fprintf(&s, "link set dev %s addrgenmode none\n", name)
	}
	fmt.Fprintf(&s, "link set dev %s up\naddr add %s/24 dev %s\n", name, own[0], name)
	if haveIPv6() {
		fmt.Fprintf(&s, "addr add %s/64 dev %s nodad\n", own[1], name)
	}
	for _, p := range peer {
		if p.Is4() || haveIPv6() {
			fmt.Fprintf(&s, "neigh replace %s lladdr %s dev %s nud permanent\n", p, peerMAC, name)
		}
	}
	return s.String()
}

func (l *Link) device() string { return fmt.Sprintf("link%d", l.index) }

func macA(link int) string { return fmt.Sprintf("02:00:00:88:%02x:01", link) }
func macB(link int) string { return fmt.Sprintf("02:00:00:88:%02x:02", link) }

func haveIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}
