package core

import (
	"slices"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Frames of the XOR pluglet.
const (
	fecSource    wire.FrameType = 0x2e00 // type, 4 bytes: number of the symbol
	fecRepair    wire.FrameType = 0x2e01 // type, packet numbers of 4 bytes, XOR of their lengths (2), XOR of their bytes (with length)
	fecRecovered wire.FrameType = 0x2e02 // type, packet number
)

const (
	fecGroup      = 4
	fecSourceSize = 2 + 4
	fecSlack      = 64 // so that a repair frame fits where a source packet did
)

// An xorCode repairs the loss of one packet in every four. The sender marks each
// packet that carries data as a source symbol and after four of them sends the
// XOR of their payloads; the receiver recovers a missing one and says so.
type xorCode struct {
	t       testing.TB
	c       *Conn
	group   []uint64 // packets of the group being built
	xor     []byte
	length  uint16
	symbols uint32
	sources map[uint64]bool   // packets that are source symbols
	sent    []uint64          // packets sealed and not yet seen by the test's link
	repairs map[uint64][]byte // by cookie
	next    uint64
	repair  bool // the packet being built carries a repair frame

	received map[uint64][]byte // payloads by packet number
	injected []uint64
	marked   []uint64
}

func attachXOR(t testing.TB, c *Conn) *xorCode {
	x := &xorCode{t: t, c: c, repairs: make(map[uint64][]byte), received: make(map[uint64][]byte), sources: make(map[uint64]bool)}
	for _, d := range []FrameDecl{
		{Type: fecSource, AckEliciting: true, CongestionControlled: true},
		{Type: fecRepair, AckEliciting: true, CongestionControlled: true},
		{Type: fecRecovered, AckEliciting: true, CongestionControlled: true},
	} {
		d.Packets, d.Owner = 1<<wire.OneRTT, "org.example.xor"
		if err := c.DeclareFrame(d); err != nil {
			t.Fatal(err)
		}
	}
	length := func(f func([]byte) int) func(*protoops.Call) error {
		return func(call *protoops.Call) error {
			return call.SetResult(0, uint64(min(f(call.ArgBytes(0)), len(call.ArgBytes(0)))))
		}
	}
	frame := func(call *protoops.Call) []byte { return protoops.ArgsOf[Received[PluginFrame]](call).Frame().Bytes }
	attach(t, c, &protoops.Plugin{Name: "org.example.xor", Owned: true, Bindings: []protoops.Binding{
		replace("schedule_frames", func(call *protoops.Call) error {
			// A repair frame needs the room itself.
			if b := protoops.ArgsOf[BuilderArg](call).Builder; b.BuilderView.Level == uint32(level1RTT) && !c.HasReserved() {
				b.Reserve(fecSlack)
			}
			call.Native()
			return nil
		}),
		replace("payload_built", x.built),
		onFrame(protoops.Replace, "parse_frame", fecSource, length(func([]byte) int { return fecSourceSize })),
		onFrame(protoops.Replace, "parse_frame", fecRepair, length(func(b []byte) int {
			_, _, _, n := parseRepair(b)
			return n
		})),
		onFrame(protoops.Replace, "process_frame", fecRepair, func(call *protoops.Call) error { return x.recover(frame(call)) }),
		onFrame(protoops.Replace, "write_frame", fecRepair, func(call *protoops.Call) error {
			a := protoops.ArgsOf[WriteArg](call)
			x.repair = a.Builder.AppendFrame(fecRepair, x.repairs[a.Cookie], a.Cookie)
			return nil
		}),
		onFrame(protoops.Replace, "parse_frame", fecRecovered, length(func(b []byte) int {
			_, n := wire.ParseVarint(b[2:])
			return 2 + n
		})),
		onFrame(protoops.Replace, "process_frame", fecRecovered, func(call *protoops.Call) error {
			pn, _ := wire.ParseVarint(frame(call)[2:])
			if c.MarkRecovered(c.path0, pn) {
				x.marked = append(x.marked, pn)
			}
			return nil
		}),
		onFrame(protoops.Replace, "write_frame", fecRecovered, func(call *protoops.Call) error {
			a := protoops.ArgsOf[WriteArg](call)
			a.Builder.AppendFrame(fecRecovered, wire.AppendVarint(wire.AppendVarint(nil, uint64(fecRecovered)), a.Cookie), a.Cookie)
			return nil
		}),
		post("packet_sealed", func(call *protoops.Call) error {
			if a := protoops.ArgsOf[PacketArg](call); encryptionLevel(a.Level) == level1RTT {
				x.sent = append(x.sent, a.Packet.Number)
			}
			return nil
		}),
		pre("payload_received", func(call *protoops.Call) error {
			in := protoops.ArgsOf[ReceivedArg](call).Packet
			x.received[in.Number] = slices.Clone(in.Payload)
			return nil
		}),
	}})
	return x
}

// onLink returns a function for lab.lost that calls f with the packet number of
// each datagram the client sends.
func (x *xorCode) onLink(f func(d *labDatagram, pn uint64) bool) func(*labDatagram) bool {
	x.sent = nil
	return func(d *labDatagram) bool {
		if !d.toServer {
			return false
		}
		pn := x.sent[0]
		x.sent = x.sent[1:]
		return f(d, pn)
	}
}

// built makes the packet a source symbol if it carries data.
func (x *xorCode) built(call *protoops.Call) error {
	b := protoops.ArgsOf[BuilderArg](call).Builder
	if x.repair {
		x.repair = false
		return nil
	}
	if len(b.Payload()) < 500 {
		return nil
	}
	id := x.symbols
	if !b.AppendFrame(fecSource, append(wire.AppendVarint(nil, uint64(fecSource)), byte(id>>24), byte(id>>16), byte(id>>8), byte(id)), 0) {
		return nil // it was full already: not protected
	}
	x.symbols++
	x.sources[b.Number] = true
	p := b.Payload()
	if n := len(p) - len(x.xor); n > 0 {
		x.xor = append(x.xor, make([]byte, n)...)
	}
	for i := range p {
		x.xor[i] ^= p[i]
	}
	x.length ^= uint16(len(p))
	if x.group = append(x.group, b.Number); len(x.group) < fecGroup {
		return nil
	}
	f := wire.AppendVarint(nil, uint64(fecRepair))
	for _, pn := range x.group {
		f = wire.AppendVarintN(f, pn, 4)
	}
	f = append(f, byte(x.length>>8), byte(x.length))
	f = wire.AppendVarintN(f, uint64(len(x.xor)), 2)
	f = append(f, x.xor...)
	x.repairs[x.next] = f
	err := x.c.ReserveFrame(fecRepair, len(f), x.next, nil)
	x.next++
	x.group, x.xor, x.length = nil, nil, 0
	return err
}

func parseRepair(b []byte) (group [fecGroup]uint64, length uint16, xor []byte, n int) {
	n = 2
	for i := range group {
		group[i], _ = wire.ParseVarint(b[n:])
		n += 4
	}
	length = uint16(b[n])<<8 | uint16(b[n+1])
	size, k := wire.ParseVarint(b[n+2:])
	n += 2 + k
	return group, length, b[n : n+int(size)], n + int(size)
}

// recover injects the one packet of the group that is missing.
func (x *xorCode) recover(b []byte) error {
	group, length, xor, _ := parseRepair(b)
	xor = slices.Clone(xor)
	missing, have := uint64(0), 0
	for _, pn := range group {
		p := x.received[pn]
		if p == nil {
			missing = pn
			continue
		}
		have++
		for i := range p {
			xor[i] ^= p[i]
		}
		length ^= uint16(len(p))
	}
	if have != fecGroup-1 {
		return nil
	}
	x.injected = append(x.injected, missing)
	x.c.InjectPayload(x.c.path0, missing, xor[:length])
	return x.c.ReserveFrame(fecRecovered, 10, missing, nil)
}

// One lost packet is repaired by the receiver. Nothing is sent again, and the
// loss still counts for the congestion controller.
func TestSeamPayloadRepaired(t *testing.T) {
	var codes []*xorCode
	l := connected(t, onBoth(func(c *Conn) { codes = append(codes, attachXOR(t, c)) }))
	client, server := codes[0], codes[1]
	dropped := false
	l.lost = client.onLink(func(_ *labDatagram, pn uint64) bool {
		if !dropped && client.sources[pn] && pn > 60 {
			dropped = true
			return true
		}
		return false
	})
	var windowBefore uint64
	attach(t, l.c, plugin("org.example.watch", pre("congestion_on_loss", func(*protoops.Call) error {
		windowBefore = l.c.path0.Congestion.CongestionWindow
		return nil
	})))
	f := l.transfer(l.c, l.s, 400_000)
	l.wait(200 * time.Millisecond)
	if !dropped || len(server.injected) != 1 || !slices.Equal(client.marked, server.injected) {
		t.Fatalf("dropped %v, recovered packets %v, marked %v", dropped, server.injected, client.marked)
	}
	if n := f.st.SendView().RetransmittedBytes; n != 0 || l.c.v.PacketsRetransmitted != 0 {
		t.Errorf("%d bytes were sent again, in %d packets", n, l.c.v.PacketsRetransmitted)
	}
	cc := &l.c.path0.Congestion
	if cc.CongestionEvents != 1 || cc.CongestionWindow >= windowBefore || l.c.v.PacketsLost != 1 || l.c.v.PTOs != 0 {
		t.Errorf("%d congestion events, window %d before and %d now, %d packets lost, %d probe timeouts", cc.CongestionEvents, windowBefore, cc.CongestionWindow, l.c.v.PacketsLost, l.c.v.PTOs)
	}
	l.noFault(l.c)
	l.noFault(l.s)
}

// A packet that was only late finds its payload processed: it is acknowledged
// and nothing more.
func TestSeamPayloadLateOriginal(t *testing.T) {
	var codes []*xorCode
	l := connected(t, onBoth(func(c *Conn) { codes = append(codes, attachXOR(t, c)) }))
	late := false
	l.lost = codes[0].onLink(func(d *labDatagram, pn uint64) bool {
		if !late && codes[0].sources[pn] && pn > 20 {
			late = true
			d.at = l.now.Add(l.delay + 5*time.Millisecond)
			l.flights = append(l.flights, *d)
			return true
		}
		return false
	})
	offsets := map[uint64]int{}
	attach(t, l.s, plugin("org.example.count", onFrame(protoops.Pre, "process_frame", wire.Stream, func(call *protoops.Call) error {
		offsets[protoops.ArgsOf[Received[wire.StreamFrame]](call).Frame().Offset]++
		return nil
	})))
	f := l.transfer(l.c, l.s, 100_000)
	l.wait(100 * time.Millisecond)
	for off, n := range offsets {
		if n > 1 {
			t.Errorf("the STREAM frame at %d was processed %d times", off, n)
		}
	}
	if len(codes[1].injected) != 1 || l.c.v.PacketsSpurious != 1 || l.s.v.PacketsDuplicate != 0 {
		t.Errorf("recovered %v, %d losses spurious, %d duplicates", codes[1].injected, l.c.v.PacketsSpurious, l.s.v.PacketsDuplicate)
	}
	if f.st.SendView().RetransmittedBytes != 0 {
		t.Error("data was sent again")
	}
}

// Many losses, at most one in each group: the transfer needs no retransmission.
func TestSeamPayloadSteadyLoss(t *testing.T) {
	var codes []*xorCode
	l := connected(t, onBoth(func(c *Conn) { codes = append(codes, attachXOR(t, c)) }),
		configs(func(client, _ *Config) { client.CongestionControl = "newreno" })) // its windows are short: acknowledgments seldom outrun a repair
	last, lost := uint64(0), 0
	l.lost = codes[0].onLink(func(_ *labDatagram, pn uint64) bool {
		if codes[0].sources[pn] && pn-last > 50 {
			last = pn
			lost++
			return true
		}
		return false
	})
	f := l.transfer(l.c, l.s, 2<<20)
	l.wait(200 * time.Millisecond)
	if n := len(codes[1].injected); lost < 20 || n < lost-1 || len(codes[0].marked) != n {
		t.Errorf("%d packets lost, %d recovered, %d marked", lost, n, len(codes[0].marked))
	}
	// Now and then an acknowledgment outruns the repair.
	if n := f.st.SendView().RetransmittedBytes; n > uint64(lost)*1472/4 {
		t.Errorf("%d bytes of %d lost packets were sent again", n, lost)
	}
	l.noFault(l.c)
	l.noFault(l.s)
}

// What a plugin recovers without an event of the engine is processed with the
// next one.
func TestSeamPayloadInjectedByTimer(t *testing.T) {
	l := connected(t)
	payload := wire.AppendMaxData(nil, wire.MaxDataFrame{Max: 1 << 50})
	attach(t, l.c, plugin("org.example.inject", post("plugin_timer", func(*protoops.Call) error {
		l.c.InjectPayload(l.c.path0, 1<<20, payload)
		if l.c.v.MaxDataRemote == 1<<50 {
			t.Error("processed under the running operation")
		}
		return nil
	})))
	l.c.SetPluginTimer(l.now.Add(mono.Time(time.Second).Sub(0)))
	l.wait(2 * time.Second)
	if l.c.v.MaxDataRemote != 1<<50 {
		t.Errorf("limit %d", l.c.v.MaxDataRemote)
	}
	l.c.InjectPayload(l.c.path0, 1<<20+1, []byte{0x40})
	l.s.Ping(l.now)
	l.until("malformed payload closes", func() bool { return l.c.Err() != nil })
}
