package core

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// writeFrames sends the engine one packet.
func (tc *testConn) writeFrames(level encryptionLevel, frames ...any) uint64 {
	tc.t.Helper()
	return tc.write(&scriptPacket{level: level, frames: frames})
}

// write1RTT is writeFrames at level 1-RTT.
func (tc *testConn) write1RTT(frames ...any) uint64 {
	tc.t.Helper()
	return tc.writeFrames(level1RTT, frames...)
}

// write sends packets coalesced in one datagram and returns the number of the
// last one.
func (tc *testConn) write(packets ...*scriptPacket) uint64 {
	tc.t.Helper()
	var d []byte
	for i, p := range packets {
		d = append(d, tc.encode(p, i == len(packets)-1, len(d))...)
	}
	p := packets[len(packets)-1]
	tc.writeDatagram(d, p)
	return p.number
}

// writeDatagram delivers raw bytes to the engine.
func (tc *testConn) writeDatagram(b []byte, p *scriptPacket) {
	tc.t.Helper()
	dg := &Datagram{Payload: b, Local: tc.local, Remote: tc.remote}
	if p != nil {
		dg.ECN = p.ecn
		if p.from.IsValid() {
			dg.Remote = p.from
		}
		if p.to.IsValid() {
			dg.Local = p.to
		}
	}
	tc.end.Receive(tc.now, dg)
	if p != nil && p.noBatch {
		return
	}
	tc.end.EndBatch(tc.now)
	tc.flush()
}

// encode seals one packet.
func (tc *testConn) encode(p *scriptPacket, last bool, before int) []byte {
	tc.t.Helper()
	space := p.level.space()
	tc.next[space] += p.skip
	p.number = tc.next[space]
	tc.next[space]++
	dst, src, v := tc.dst, tc.src, tc.version
	if p.dst.Len() > 0 {
		dst = p.dst
	}
	if p.src.Len() > 0 {
		src = p.src
	}
	if p.v != 0 {
		v = p.v
	}
	const pnLen = 4
	var b []byte
	if p.level == level1RTT {
		b = wire.AppendShortHeader(nil, dst, p.spin, tc.phase != p.phase, pnLen)
	} else {
		b = wire.AppendLongHeader(nil, p.level.packetType(), v, dst, src, p.token, pnLen)
	}
	b[0] ^= p.firstXor
	pnOff := len(b)
	b = wire.AppendPacketNumber(b, p.number, pnLen)
	payload := len(b)
	b = append(b, p.raw...)
	for _, f := range p.frames {
		b = appendScriptFrame(tc.t, b, f)
	}
	want := p.pad
	if want == 0 && last && p.level == levelInitial && !p.padded {
		want = minUDPPayload
	}
	if k := want - before - len(b) - overhead; k > 0 && len(b) > payload {
		b = wire.AppendPadding(b, k)
	}
	n := len(b) - payload
	b = append(b, make([]byte, overhead)...)
	if p.level != level1RTT {
		wire.SetLongLength(b, pnOff, pnLen+n+overhead)
	}
	s := p.seal
	if s == nil {
		s = tc.seal[p.level]
	}
	if s == nil {
		tc.t.Fatalf("no keys to seal at level %d", p.level)
	}
	s.Seal(b, pnOff, pnLen, 0, p.number)
	return b
}

// flush reads what the engine sends into the queue.
func (tc *testConn) flush() {
	tc.t.Helper()
	tc.collect(tc.end, func(b []byte, tr *Transmit) {
		tc.bytes += len(b)
		tc.count++
		tc.read(bytes.Clone(b), tr)
	})
}

// read opens the packets of a datagram from the engine.
func (tc *testConn) read(b []byte, tr *Transmit) {
	tc.t.Helper()
	size := len(b)
	for len(b) > 0 {
		p := &scriptPacket{datagram: tc.count, size: size, ecn: tr.ECN, local: tr.Local, remote: tr.Remote, at: tc.now}
		n := tc.readPacket(b, p)
		if n == 0 {
			return
		}
		p.length = n
		tc.teach(p)
		b = b[n:]
		if tc.tap != nil {
			tc.tap(p)
		}
		tc.queue = append(tc.queue, p)
	}
}

// teach gives the second engine the handshake bytes it has not seen, so that
// it finds the keys of what comes next.
func (tc *testConn) teach(p *scriptPacket) {
	if !tc.teaching || p.level == level1RTT {
		return
	}
	h := &tc.peer.handshake
	h.peerSrc, h.peerSrcKnown = p.src, true
	for _, f := range p.frames {
		if c, ok := f.(wire.CryptoFrame); ok {
			tc.peer.processCrypto(&ReceivedPacket{level: p.level, path: tc.peer.path0}, c)
			tc.grab()
		}
	}
}

func (tc *testConn) readPacket(b []byte, p *scriptPacket) int {
	tc.t.Helper()
	end, pnOff := len(b), 1+tc.src.Len()
	p.level = level1RTT
	if wire.IsLongHeader(b[0]) {
		h, err := wire.ParseLongHeader(b)
		if err != nil {
			tc.t.Fatalf("engine sent a malformed long header: %v", err)
		}
		p.dst, p.src, p.token, end, pnOff = h.DstConnID, h.SrcConnID, h.Token, h.End, h.PNOffset
		switch h.Type {
		case wire.Initial:
			p.level = levelInitial
		case wire.Handshake:
			p.level = levelHandshake
		case wire.ZeroRTT:
			p.level = levelEarly
		default:
			p.frames = append(p.frames, h)
			return len(b)
		}
	} else {
		if b[0] == 0 {
			return 0 // padding behind the last packet
		}
		dst, ok := wire.ParseShortHeaderDst(b, tc.src.Len())
		if !ok {
			tc.t.Fatalf("engine sent a short packet of %d bytes", len(b))
		}
		p.dst = dst
		p.spin = b[0]&wire.SpinBit != 0
	}
	o := tc.open[p.level]
	if o == nil && tc.lenient {
		return end
	}
	if o == nil {
		tc.t.Fatalf("engine sent a packet of level %d, for which there is no key", p.level)
	}
	space := p.level.space()
	pkt := b[:end]
	pnLen, truncated, ok := o.Unmask(pkt, pnOff)
	if !ok {
		// Too short for a packet: a stateless reset.
		p.frames = append(p.frames, statelessReset(bytes.Clone(b)))
		return len(b)
	}
	largest := uint64(wire.NoPacketNumber)
	if len(tc.got[space]) > 0 || tc.largest[space] > 0 {
		largest = tc.largest[space]
	}
	p.number = wire.DecodePacketNumber(largest, truncated, pnLen)
	if p.level == level1RTT {
		p.phase = pkt[0]&wire.KeyPhaseBit != 0
		if p.phase != tc.seen {
			o = tc.openNext
		}
	}
	payload, err := o.Open(bytes.Clone(pkt), pnOff, pnLen, 0, p.number)
	if err != nil {
		p.frames = append(p.frames, statelessReset(bytes.Clone(b)))
		return len(b)
	}
	if p.level == level1RTT && p.phase != tc.seen {
		tc.seen = p.phase
		tc.open[level1RTT], tc.openNext = o, o.Update()
	}
	tc.got[space] = append(tc.got[space], p.number)
	if p.number > tc.largest[space] {
		tc.largest[space] = p.number
	}
	if len(payload) == 0 {
		tc.t.Fatalf("engine sent packet %d without frames", p.number)
	}
	for len(payload) > 0 {
		f, n := parseScriptFrame(payload)
		if n == 0 {
			tc.t.Fatalf("engine sent a malformed frame: % x", payload[:min(len(payload), 32)])
		}
		if _, pad := f.(wire.PaddingFrame); pad {
			p.padded = true
		}
		p.frames = append(p.frames, f)
		payload = payload[n:]
	}
	return end
}

// statelessReset is what a datagram that opens with no key may be.
type statelessReset []byte

// advance moves time on by d, firing the engine's timers as they come due.
func (tc *testConn) advance(d time.Duration) {
	tc.t.Helper()
	tc.advanceUntil(tc.now.Add(d))
}

func (tc *testConn) advanceUntil(to mono.Time) {
	tc.t.Helper()
	for range 1_000_000 {
		tc.flush()
		next := tc.end.Deadline()
		if next > to {
			tc.now = max(tc.now, to)
			return
		}
		tc.now = max(tc.now, next)
		tc.end.Advance(tc.now)
		tc.end.EndBatch(tc.now)
		tc.flush()
	}
	tc.t.Fatalf("timers fire without end at %v", tc.now.Sub(scriptEpoch))
}

// advanceToTimer moves to the engine's next timer and fires it.
func (tc *testConn) advanceToTimer(why string) time.Duration {
	tc.t.Helper()
	tc.flush()
	next := tc.end.Deadline()
	if next == mono.Never {
		tc.t.Fatalf("%s: no timer is armed", why)
	}
	d := next.Sub(tc.now)
	tc.advanceUntil(max(next, tc.now))
	return d
}

// advanceToPTO moves on until a probe timeout fires.
func (tc *testConn) advanceToPTO(why string) time.Duration {
	tc.t.Helper()
	start, n := tc.now, tc.conn.v.PTOs
	for range 100 {
		tc.advanceToTimer(why)
		if tc.conn.v.PTOs > n {
			return tc.now.Sub(start)
		}
	}
	tc.t.Fatalf("%s: no probe timeout fires", why)
	return 0
}

// ack acknowledges packet numbers of a space.
func (tc *testConn) ack(level encryptionLevel, ranges ...wire.PNRange) {
	tc.t.Helper()
	tc.writeFrames(level, ackFrame{Ranges: ranges})
}

// ackAll acknowledges every packet of a level's space that arrived.
func (tc *testConn) ackAll(level encryptionLevel) {
	tc.t.Helper()
	tc.flush()
	if r := tc.gotRanges(level.space()); len(r) > 0 {
		tc.ack(level, r...)
	}
}

// ackLatest acknowledges the newest packet alone.
func (tc *testConn) ackLatest(level encryptionLevel) {
	tc.t.Helper()
	tc.flush()
	pn := tc.largest[level.space()]
	tc.ack(level, wire.PNRange{Lo: pn, Hi: pn})
}

func (tc *testConn) gotRanges(s spaceID) []wire.PNRange {
	pns := slices.Clone(tc.got[s])
	slices.Sort(pns)
	var r []wire.PNRange
	for i := len(pns) - 1; i >= 0; i-- {
		pn := pns[i]
		if n := len(r); n > 0 && r[n-1].Lo == pn+1 {
			r[n-1].Lo = pn
		} else if n == 0 || r[n-1].Lo != pn {
			r = append(r, wire.PNRange{Lo: pn, Hi: pn})
		}
	}
	return r
}

// lose makes the engine take everything it has in flight at a level for lost:
// by later packets that are acknowledged, or by letting a probe timeout fire.
// The packets this takes are not seen by the script.
func (tc *testConn) lose(level encryptionLevel, pto bool) {
	tc.t.Helper()
	tc.flush()
	if pto {
		tc.skipAcksOnly()
		tc.advanceToPTO("lost frames")
		return
	}
	for range 3 {
		before := tc.largest[level.space()]
		s := tc.conn.space(level, tc.conn.path0)
		s.v.PTOProbes = 1
		tc.conn.wake()
		tc.flush()
		if tc.largest[level.space()] == before {
			tc.t.Fatal("engine sent no probe")
		}
		tc.dropPings()
	}
	tc.ackLatest(level)
}

// skipAcksOnly drops ACK-only packets from the queue.
func (tc *testConn) skipAcksOnly() {
	tc.dropIf(func(f any) bool { return tc.isIgnored(f) })
}

func (tc *testConn) dropPings() {
	tc.dropIf(func(f any) bool { return tc.isIgnored(f) || f == any(wire.PingFrame{}) })
}

func (tc *testConn) dropIf(drop func(any) bool) {
	tc.queue = slices.DeleteFunc(tc.queue, func(p *scriptPacket) bool {
		for _, f := range p.frames {
			if !drop(f) {
				return false
			}
		}
		return true
	})
}

// lostFrameTest runs a script twice: the frame of interest is lost because
// later packets are acknowledged, and by a probe timeout.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.3
func lostFrameTest(t *testing.T, f func(t *testing.T, pto bool)) {
	t.Run("by loss", func(t *testing.T) { f(t, false) })
	t.Run("by PTO", func(t *testing.T) { f(t, true) })
}
