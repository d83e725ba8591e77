package core

import (
	"net/netip"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

var (
	clientAddr2 = netip.MustParseAddrPort("10.1.0.1:2222")
	serverAddr2 = netip.MustParseAddrPort("10.1.0.2:443")
)

// Frames of the multipath pluglet, in the shape of draft-ietf-quic-multipath.
const (
	pathAck   wire.FrameType = 0x3e00 // type, path ID, body of an ACK frame
	pathNewID wire.FrameType = 0x3e01 // type, path ID, sequence number, ID of 8 bytes, reset token
)

// A multipath is a plugin that gives a connection a second path: it exchanges
// connection IDs for path 1, opens it, and acknowledges its packets.
type multipath struct {
	t    testing.TB
	c    *Conn
	mine struct {
		id    wire.ConnID
		token [16]byte
	}
	theirs *wire.NewConnectionIDFrame
	local  netip.AddrPort // client: where path 1 starts
	remote netip.AddrPort
	next   int // of the round robin over paths
}

func attachMultipath(t testing.TB, c *Conn, local, remote netip.AddrPort) *multipath {
	m := &multipath{t: t, c: c, local: local, remote: remote}
	for _, d := range []FrameDecl{
		{Type: pathAck, Packets: 1 << wire.OneRTT},
		{Type: pathNewID, Packets: 1 << wire.OneRTT, AckEliciting: true, CongestionControlled: true},
	} {
		if err := c.DeclareFrame(d); err != nil {
			t.Fatal(err)
		}
	}
	attach(t, c, &protoops.Plugin{Name: "org.example.multipath", Owned: true, Bindings: []protoops.Binding{
		post("handshake_confirmed", func(*protoops.Call) error {
			m.mine.id, m.mine.token = c.ReserveConnID(1, 0)
			return m.announce()
		}),
		onFrame(protoops.Replace, "write_frame", pathNewID, m.writeNewID),
		onFrame(protoops.Replace, "parse_frame", pathNewID, func(call *protoops.Call) error {
			n := uint64(len(m.newID()))
			return call.SetResult(0, min(n, uint64(len(call.ArgBytes(0)))/n*n))
		}),
		onFrame(protoops.Replace, "process_frame", pathNewID, m.processNewID),
		onFrame(protoops.Replace, "notify_frame", pathNewID, func(call *protoops.Call) error {
			if protoops.ArgsOf[FrameFate](call).Fate != FateAcked {
				return m.announce()
			}
			return nil
		}),
		onFrame(protoops.Replace, "parse_frame", pathAck, func(call *protoops.Call) error {
			_, _, n := parsePathAck(call.ArgBytes(0))
			return call.SetResult(0, uint64(n))
		}),
		onFrame(protoops.Replace, "process_frame", pathAck, m.processPathAck),
		replace("write_ack", m.writeAck),
		replace("get_incoming_path", m.incomingPath),
		replace("select_path", m.selectPath),
	}})
	return m
}

func (m *multipath) announce() error {
	return m.c.ReserveFrame(pathNewID, len(m.newID()), 0, nil)
}

func (m *multipath) newID() []byte {
	b := wire.AppendVarint(nil, uint64(pathNewID))
	b = append(b, 1, 0)
	b = m.mine.id.AppendTo(b)
	for len(b) < 2+1+1+8 {
		b = append(b, 0) // before the ID exists: only its length matters
	}
	return append(b, m.mine.token[:]...)
}

func (m *multipath) writeNewID(call *protoops.Call) error {
	protoops.ArgsOf[WriteArg](call).Builder.AppendFrame(pathNewID, m.newID(), 0)
	return nil
}

func (m *multipath) processNewID(call *protoops.Call) error {
	b := protoops.ArgsOf[Received[PluginFrame]](call).Frame().Bytes
	id, _ := wire.MakeConnID(b[4:12])
	m.theirs = &wire.NewConnectionIDFrame{ConnID: id, ResetToken: [16]byte(b[12:28])}
	if m.c.IsServer() {
		return nil // the client opens the path
	}
	return m.open(m.local, m.remote, 0)
}

func (m *multipath) open(local, remote netip.AddrPort, ifIndex uint32) error {
	if m.c.Path(1) != nil {
		return nil
	}
	p, err := m.c.OpenPath(m.c.Now(), 1, local, remote, ifIndex, true)
	if err != nil {
		return err
	}
	m.c.AdoptConnID(p, m.mine.id, 0)
	return m.c.AddPathConnID(p, *m.theirs)
}

// incomingPath opens path 1 on the server when the client first uses it.
func (m *multipath) incomingPath(call *protoops.Call) error {
	if id := call.Arg(0); id == 1 && m.c.Path(1) == nil && m.theirs != nil && m.c.IsServer() {
		local, remote, ifIndex := m.c.IncomingAddrs()
		if err := m.open(local, remote, ifIndex); err != nil {
			return err
		}
	}
	call.Native()
	return nil
}

// writeAck leaves path 0 to plain ACK frames.
func (m *multipath) writeAck(call *protoops.Call) error {
	a := protoops.ArgsOf[WriteAckArg](call)
	if a.Path.ID == 0 {
		call.Native()
		return nil
	}
	delay := wire.AckDelayRaw(m.c.Now().Sub(a.Path.Space.LargestReceivedTime), m.c.LocalParameters().AckDelayExponent)
	head := append(wire.AppendVarint(nil, uint64(pathAck)), byte(a.Path.ID))
	b := wire.AppendAckBody(head, a.Path.Received(), delay, wire.ECNCounts{ECT0: a.Path.Space.ECT0Received}, true, a.Builder.Room()-len(head))
	if len(b) > len(head) {
		a.Builder.AppendAck(pathAck, b, a.Path)
	}
	return nil
}

func parsePathAck(b []byte) (path uint64, f wire.AckFrame, n int) {
	_, at := wire.ParseVarint(b)
	path, k := wire.ParseVarint(b[at:])
	if k == 0 {
		return 0, f, 0
	}
	f, n = wire.ParseAckBody(b, at+k, true)
	return path, f, n
}

func (m *multipath) processPathAck(call *protoops.Call) error {
	id, f, _ := parsePathAck(protoops.ArgsOf[Received[PluginFrame]](call).Frame().Bytes)
	if p := m.c.Path(id); p != nil {
		return m.c.ProcessAckFrame(p, &f)
	}
	return nil
}

// selectPath takes turns over the paths whose window lets something go.
func (m *multipath) selectPath(call *protoops.Call) error {
	paths := m.c.Paths()
	for range paths {
		m.next++
		p := paths[m.next%len(paths)]
		if p.State == PathActive && p.Congestion.BytesInFlight+p.MTU <= p.Congestion.CongestionWindow {
			return call.SetResultHandle(0, p)
		}
	}
	return call.SetResultHandle(0, paths[0])
}

// twoPaths returns a lab with both paths validated.
func twoPaths(t testing.TB, opts ...labOption) *lab {
	t.Helper()
	opts = append([]labOption{
		onClient(func(c *Conn) { attachMultipath(t, c, clientAddr2, serverAddr2) }),
		onServer(func(c *Conn) { attachMultipath(t, c, netip.AddrPort{}, netip.AddrPort{}) }),
	}, opts...)
	l := connected(t, opts...)
	l.until("second path", func() bool {
		p, q := l.c.Path(1), l.s.Path(1)
		return p != nil && q != nil && p.State == PathActive && q.State == PathActive
	})
	return l
}

func TestSeamPathsBothCarryData(t *testing.T) {
	l := twoPaths(t)
	l.rate = 2_500_000
	for _, dir := range []struct {
		name     string
		from, to *Conn
	}{{"upload", l.c, l.s}, {"download", l.s, l.c}} {
		start, before := l.now, [2]uint64{dir.from.Path(0).BytesAcked, dir.from.Path(1).BytesAcked}
		l.transfer(dir.from, dir.to, 4<<20)
		took := l.now.Sub(start)
		for i := range before {
			if got := dir.from.Path(uint64(i)).BytesAcked - before[i]; got < 1<<20 {
				t.Errorf("%s: path %d delivered %d bytes", dir.name, i, got)
			}
		}
		// One link alone would need 1.7 s.
		if took > 1450e6 {
			t.Errorf("%s of 4 MiB over two links of 2.5 MB/s took %v", dir.name, took)
		}
	}
	for _, c := range []*Conn{l.c, l.s} {
		l.noFault(c)
		for _, p := range c.Paths() {
			if p.RTT.Samples == 0 || p.RTT.MinRTT < 20e6 {
				t.Errorf("path %d: %d samples, min_rtt %v", p.ID, p.RTT.Samples, p.RTT.MinRTT)
			}
			if p.MTU <= minUDPPayload {
				t.Errorf("path %d: no MTU discovery, still %d bytes", p.ID, p.MTU)
			}
			if p.ECNState != ECNCapable {
				t.Errorf("path %d: ECN state %d", p.ID, p.ECNState)
			}
			if n := len(p.Received()); n > 40 {
				t.Errorf("path %d: %d ranges are never forgotten", p.ID, n)
			}
		}
	}
}

func TestSeamPathsSurviveKeyUpdates(t *testing.T) {
	l := twoPaths(t)
	l.rate, l.queue = 5_000_000, 8<<20
	f := l.open(l.c, l.s, 8<<20)
	for i := range 3 {
		l.until("part of the transfer", func() bool { f.pump(); return f.read >= (i+1)*1<<20 })
		l.c.UpdateKeys(l.now)
		l.until("key update", func() bool { f.pump(); return l.c.v.KeyUpdates == uint64(i+1) && l.s.v.KeyUpdates == uint64(i+1) })
		l.until("old keys discarded", func() bool { f.pump(); return l.c.keyUpdate.prev == nil && l.s.keyUpdate.prev == nil })
	}
	l.until("rest of the transfer", f.pump)
	for _, c := range []*Conn{l.c, l.s} {
		if c.v.PacketsUndecryptable > 0 {
			t.Errorf("%d packets could not be opened", c.v.PacketsUndecryptable)
		}
		for _, p := range c.Paths() {
			// The first challenge may come before the server knows the path.
			if p.PacketsLost > p.ID {
				t.Errorf("path %d lost %d packets", p.ID, p.PacketsLost)
			}
		}
	}
}

// What a closed path had in flight goes to the other one, whichever it is.
func TestSeamPathsOneCloses(t *testing.T) {
	for _, id := range []uint64{0, 1} {
		l := twoPaths(t)
		l.rate = 2_500_000
		f := l.open(l.c, l.s, 4<<20)
		l.until("half of the transfer", func() bool { f.pump(); return f.read > 2<<20 })
		inFlight := l.c.Path(id).Congestion.BytesInFlight
		if inFlight == 0 {
			t.Fatalf("path %d has nothing in flight", id)
		}
		// The path dies on the way, and both ends learn of it.
		dead := map[netip.AddrPort]bool{l.c.Path(id).LocalAddr(): true, l.s.Path(id).LocalAddr(): true}
		l.lost = func(d *labDatagram) bool { return dead[d.Local] || dead[d.Remote] }
		l.c.ClosePath(l.c.Path(id))
		l.s.ClosePath(l.s.Path(id))
		l.until("rest of the transfer", f.pump)
		if n := len(l.c.Paths()); n != 1 || l.c.Paths()[0].ID != 1-id {
			t.Errorf("%d paths are open", n)
		}
		l.transfer(l.s, l.c, 1<<20)
		l.noFault(l.c)
		l.noFault(l.s)
		l.c.Close(l.now, 3, "done")
		l.until("close over the path that is left", func() bool { return l.client.Len() == 0 && l.server.Len() == 0 })
		if err := l.server.Audit(); err != nil {
			t.Error(err)
		}
	}
}

// A pluglet may close a path at any time, also the one being sent on: it goes
// when the operation is over.
func TestSeamPathsClosedByPluglet(t *testing.T) {
	l := twoPaths(t)
	f := l.open(l.c, l.s, 2<<20)
	l.until("half of the transfer", func() bool { f.pump(); return f.read > 1<<20 })
	attach(t, l.c, plugin("org.example.closer", post("path_closed", func(*protoops.Call) error {
		l.s.ClosePath(l.s.Path(1)) // as a frame would tell it
		return nil
	}), post("packet_sealed", func(call *protoops.Call) error {
		if p := protoops.ArgsOf[PacketArg](call).Path; p.ID == 1 && p.conn.v.Paths == 2 {
			p.conn.ClosePath(p)
			if p.State == PathClosed {
				t.Error("closed under the running operation")
			}
		}
		return nil
	})))
	l.until("rest of the transfer", f.pump)
	if l.c.Path(1) != nil {
		t.Error("path 1 is still open")
	}
}

// Probes of a path whose packets are lost go out on that path, even while the
// scheduler prefers the other one.
func TestSeamPathsProbeTheirOwn(t *testing.T) {
	l := twoPaths(t)
	l.transfer(l.c, l.s, 1<<20)
	probes := 0
	l.lost = func(d *labDatagram) bool {
		if d.toServer && d.path == 1 {
			probes++
			return true
		}
		return false
	}
	before := l.c.Path(1).PTOCount
	l.transfer(l.c, l.s, 8<<20)
	l.wait(5e9)
	if l.c.Path(1) == nil {
		t.Fatal("path 1 was closed")
	}
	if got := l.c.Path(1).PTOCount; got == before || probes == 0 {
		t.Errorf("%d probe timeouts, %d datagrams", got, probes)
	}
}
