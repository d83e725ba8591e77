// Package linkemu emulates network links between Linux network namespaces, for machines whose
// kernel has no netem and no fq.
//
// [New] makes one anonymous network namespace per host and, for every link, a TAP device in each
// of its two hosts, joined by a thread of this process that reads an Ethernet frame on one side
// and writes it on the other when the link model says so. The model ([Shaper]) has a token-bucket
// rate, a queue limited in bytes or packets, delay, jitter that keeps the order, reordering,
// Bernoulli and Gilbert–Elliott loss, corruption that leaves the UDP checksum right, ECN marking
// and bleaching, and blackholes; a link can also hold a NAT whose bindings change. Any of it may
// change while packets flow ([Link.Set], [Link.Play]).
//
// The model is separate from the devices: [Shaper] has no clock and no I/O, so that other
// emulators (a UDP relay on loopback, a simulator on virtual time) use the same one.
//
// Nothing can be left behind. The namespaces have no name and die with the process, whatever
// ends it; the commands started in them ([Host.Start]) die with it too.
//
//	net, err := linkemu.New(linkemu.Config{Links: []linkemu.LinkConfig{{
//		AToB: linkemu.Shape{Rate: 10e6, Delay: 15 * time.Millisecond, QueuePackets: 25},
//		BToA: linkemu.Shape{Rate: 10e6, Delay: 15 * time.Millisecond, QueuePackets: 25},
//	}}})
//	if err != nil { … }
//	defer net.Close()
//	server, _ := net.Host("server").Start(exec.Command("pquic-server", "--listen", "10.88.0.2:443"))
//
// # Limitations
//
// It needs Linux, CAP_NET_ADMIN and CAP_SYS_ADMIN, /dev/net/tun and the ip command of iproute2;
// [ErrUnavailable] says what is missing. Jitter, delay and rate are applied to packets in the
// order in which they are read from the device, so a packet that waits for this process to be
// scheduled is late by that wait. A link is good for a few 100 Mbps.
package linkemu
