package core

import (
	"errors"
	"slices"

	"github.com/pquic-go/pquic/core/wire"
)

// Room in packets, beside the queue of reserved frames: a plugin reserves some
// in the packet being built, or books the same number of bytes in every packet.

// A heldRoom is what one plugin has reserved in the packet being built.
type heldRoom struct {
	owner string // "" for whoever is no plugin
	n     int
}

// maxHolders bounds the plugins with room in one packet.
const maxHolders = 8

// Reserve holds n bytes of the packet back from the engine's own frames, and
// from other plugins, until payload_built. The bytes are those of the plugin
// whose pluglet calls, beside what it holds already; AppendFrame takes from
// them. Plugins get room in the order they ask, which under pre and post is the
// order they were attached.
//
// It reports false, holding nothing, if that much is not left, if the plugins
// together would hold more than half the packet, so that the engine's data goes
// on, or if eight other plugins hold room.
func (b *PacketBuilder) Reserve(n int) bool {
	if n < 0 || b.room() < n || b.reserve+n > len(b.buf)/2 {
		return false
	}
	h := b.holding()
	if h == nil {
		if len(b.held) == maxHolders {
			return false
		}
		b.held = append(b.held, heldRoom{owner: b.conn.ops.table.Caller()})
		h = &b.held[len(b.held)-1]
	}
	h.n += n
	b.reserve += n
	return true
}

// Release gives the bytes back that the calling plugin holds.
func (b *PacketBuilder) Release() {
	if h := b.holding(); h != nil {
		b.reserve -= h.n
		h.n = 0
	}
}

// Held returns how many bytes the calling plugin holds.
func (b *PacketBuilder) Held() int {
	if h := b.holding(); h != nil {
		return h.n
	}
	return 0
}

// holding returns the room of the plugin whose pluglet is running.
func (b *PacketBuilder) holding() *heldRoom {
	if len(b.held) == 0 {
		return nil
	}
	owner := b.conn.ops.table.Caller()
	for i := range b.held {
		if b.held[i].owner == owner {
			return &b.held[i]
		}
	}
	return nil
}

// take uses up to n of the bytes the calling plugin holds.
func (b *PacketBuilder) take(n int) {
	if h := b.holding(); h != nil {
		n = min(n, h.n)
		h.n -= n
		b.reserve -= n
	}
}

// AppendFrame writes a plugin's frame of type t: its bytes, type included.
// cookie comes back with notify_frame. There is room for it in what is left of
// the packet and in what the calling plugin holds of it. It reports false,
// writing nothing, if the type was not declared or there is no room.
func (b *PacketBuilder) AppendFrame(t wire.FrameType, frame []byte, cookie uint64) bool {
	d, ok := b.conn.plug.frames[t]
	if !ok || len(frame) == 0 || len(frame) > b.room() && len(frame) > b.room()+b.Held() {
		return false
	}
	b.take(len(frame))
	b.b = append(b.b, frame...)
	b.records = append(b.records, frameRecord{typ: t, off: cookie, n: uint32(len(frame))})
	b.eliciting = b.eliciting || d.AckEliciting
	b.controlled = b.controlled || d.CongestionControlled
	return true
}

// AppendAck writes a plugin's acknowledgment of what p has received so far, in a
// frame of type t: its bytes, type included. The acknowledgment p owes is then
// settled; when the peer has the packet, operation "process_ack_of_ack" forgets
// the ranges. notify_frame gets the largest number acknowledged as cookie and
// the path ID as length. It reports false, writing nothing, if the type was not
// declared, elicits acknowledgments itself, or there is no room.
func (b *PacketBuilder) AppendAck(t wire.FrameType, frame []byte, p *Path) bool {
	d, ok := b.conn.plug.frames[t]
	if !ok || d.AckEliciting || len(frame) > b.room() || len(frame) == 0 || p.space.received.Empty() {
		return false
	}
	b.b = append(b.b, frame...)
	b.records = append(b.records, frameRecord{typ: t, off: b.acknowledged(&p.space), n: uint32(p.ID), fin: true})
	b.controlled = b.controlled || d.CongestionControlled
	return true
}

// A bookedRoom is a standing booking of a plugin.
type bookedRoom struct {
	typ  wire.FrameType
	size int
}

const (
	// maxBookings bounds the standing bookings of a connection, maxBooked their
	// bytes: half the smallest datagram.
	maxBookings = 8
	maxBooked   = minUDPPayload / 2
)

// ErrRoom refuses a booking: there are eight already, or together they would
// take more than 600 bytes.
var ErrRoom = errors.New("quic: too much of each packet is booked by plugins")

// BookRoom books size bytes in every 1-RTT packet for a frame of a declared
// type, in place of what was booked for the type before; 0 gives it up. Once the
// engine has written what it has to, write_frame runs for each booking, in the
// order they were first made, with cookie 0 and size as its room. It may write
// nothing, and is not asked where its frame would change what the packet is: an
// ack-eliciting frame in a packet that elicits no acknowledgment, a
// congestion-controlled one while the window is closed. If none of them writes
// anything the room goes back to stream data.
//
// Its errors are ErrFrameType and ErrRoom.
func (c *Conn) BookRoom(t wire.FrameType, size int) error {
	if _, ok := c.plug.frames[t]; !ok || size < 0 {
		return ErrFrameType
	}
	i := slices.IndexFunc(c.plug.rooms, func(r bookedRoom) bool { return r.typ == t })
	total := size
	for j, r := range c.plug.rooms {
		if j != i {
			total += r.size
		}
	}
	switch {
	case total > maxBooked || i < 0 && len(c.plug.rooms) == maxBookings && size > 0:
		return ErrRoom
	case size == 0:
		c.plug.rooms = slices.DeleteFunc(c.plug.rooms, func(r bookedRoom) bool { return r.typ == t })
	case i < 0:
		c.plug.rooms = append(c.plug.rooms, bookedRoom{typ: t, size: size})
	default:
		c.plug.rooms[i].size = size
	}
	return nil
}

// holdRooms keeps the booked bytes free while the engine fills the packet.
func (c *Conn) holdRooms(b *PacketBuilder) {
	n := 0
	for i := range c.plug.rooms {
		n += c.plug.rooms[i].size
	}
	if b.level == level1RTT && n > 0 && b.room() > 2*n {
		b.reserve += n
		b.booked = true
	}
}

// fillRooms lets the plugins write into the bytes they have booked.
func (c *Conn) fillRooms(b *PacketBuilder) {
	b.booked = false
	for i := range c.plug.rooms {
		b.reserve -= min(c.plug.rooms[i].size, b.reserve)
	}
	at := len(b.b)
	// A pluglet that gives its booking up moves the others: they come again.
	for i := 0; i < len(c.plug.rooms); i++ {
		r := c.plug.rooms[i]
		d := c.plug.frames[r.typ]
		if d.AckEliciting && !b.eliciting || d.CongestionControlled && b.blocked || b.room() < r.size {
			continue
		}
		rest := 0
		for _, later := range c.plug.rooms[i+1:] {
			rest += later.size
		}
		// What the later ones have booked is not this one's to take.
		rest = min(rest, b.room()-r.size)
		b.reserve += rest
		c.runWriter(b, &reservation{Reservation: Reservation{Type: r.typ, Size: r.size}})
		b.reserve -= min(rest, b.reserve)
	}
	if b.blocked || b.closed || c.streams.sched.Len() == 0 {
		return
	}
	if len(b.b) == at {
		c.writeStreams(b)
	} else {
		// A datagram that is not full would end the run it is part of.
		b.padTo(len(b.buf))
	}
}
