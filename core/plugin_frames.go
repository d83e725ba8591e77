package core

import (
	"errors"
	"slices"

	"github.com/pquic-go/pquic/core/wire"
)

// A FrameDecl declares a frame type a plugin owns.
type FrameDecl struct {
	Type                 wire.FrameType
	Packets              wire.PacketMask // packet types it may appear in
	AckEliciting         bool
	Probing              bool
	CongestionControlled bool

	// Owner names the plugin; frames of one owner wait in one queue. Owners
	// share what is left to plugins in proportion to Weight, of which each
	// declaration may set another: the last one counts; 0 means 16.
	Owner  string
	Weight uint32
}

// exempt reports whether the type is of the ACK class: it takes nothing from
// anyone's share, as an acknowledgment does not.
func (d *FrameDecl) exempt() bool { return !d.AckEliciting && !d.CongestionControlled }

// ErrFrameType refuses the declaration of a frame type.
var ErrFrameType = errors.New("quic: frame type is the engine's own or declared already")

// DeclareFrame makes a frame type known. Its operations parse_frame,
// process_frame, write_frame and notify_frame are attached separately.
func (c *Conn) DeclareFrame(d FrameDecl) error {
	if c.frameTaken(d.Type) {
		return ErrFrameType
	}
	if c.plug.frames == nil {
		c.plug.frames = make(map[wire.FrameType]FrameDecl)
	}
	c.plug.frames[d.Type] = d
	if d.Weight != 0 {
		c.queueOf(d.Owner).weight = d.Weight
	}
	return nil
}

// frameTaken reports whether no plugin can have the type: it is the engine's,
// another's or out of range.
func (c *Conn) frameTaken(t wire.FrameType) bool {
	_, dup := c.plug.frames[t]
	return dup || notAPluginsFrame(uint64(t))
}

// WithdrawFrame undoes DeclareFrame. Frames of the type that wait are dropped.
func (c *Conn) WithdrawFrame(t wire.FrameType) {
	c.CancelReserved(t)
	_ = c.BookRoom(t, 0)
	delete(c.plug.frames, t)
}

// A Reservation asks for a place in a coming packet.
type Reservation struct {
	Type   wire.FrameType
	Size   int    // most bytes the frame will take, its type included
	Cookie uint64 // handed to write_frame and notify_frame
	Path   *Path  // the path it must take, nil for any
	// Rider frames go only into packets that are sent anyway.
	Rider bool
}

// reservation is one frame that waits. The frames of a block stand in a row;
// block counts them on the first and is 0 on the others.
type reservation struct {
	Reservation
	block      int
	controlled bool
	exempt     bool
}

// A frameQueue holds what one plugin has reserved.
type frameQueue struct {
	owner   string
	weight  uint32
	deficit int64 // bytes it may still write in this turn
	frames  []reservation
}

const (
	// maxReserved bounds the frames that wait, of all plugins.
	maxReserved = 4096
	// defaultWeight is the share of a plugin that asks for none in particular.
	defaultWeight = 16
	// weightQuantum is what a turn gives per unit of weight, bytes: a full
	// packet at the default weight.
	weightQuantum = 90
	// coreShare is the part of the packets' bytes, in percent, that the engine's
	// own data keeps when plugins reserve more than the rest.
	coreShare = 50
)

// ErrReservations: too many frames wait to be sent.
var ErrReservations = errors.New("quic: too many reserved frames wait")

// ReserveFrame books room for a frame of a declared type: write_frame runs with
// the cookie when there is room for size bytes, notify_frame tells its fate.
// p is the path it must take, nil for any.
func (c *Conn) ReserveFrame(t wire.FrameType, size int, cookie uint64, p *Path) error {
	return c.ReserveFrames(Reservation{Type: t, Size: size, Cookie: cookie, Path: p})
}

// ReserveFrames books room for frames that have to travel in one packet, in
// this order. All must be of the same owner and ask for the same path. The block
// waits for the congestion window if any of its types does, and is a rider only
// if all of its frames are.
func (c *Conn) ReserveFrames(block ...Reservation) error {
	if len(block) == 0 || c.plug.waiting+len(block) > maxReserved {
		return ErrReservations
	}
	owner := c.plug.frames[block[0].Type].Owner
	controlled, exempt, rider := false, true, true
	for i := range block {
		r := &block[i]
		d, ok := c.plug.frames[r.Type]
		if !ok || r.Size <= 0 || r.Size > maxBuiltPayload || d.Owner != owner || r.Path != block[0].Path {
			return ErrFrameType
		}
		if r.Path != nil && r.Path.State == PathClosed {
			return ErrNoPath
		}
		controlled = controlled || d.CongestionControlled
		exempt = exempt && d.exempt()
		rider = rider && r.Rider
	}
	q := c.queueOf(owner)
	for i, r := range block {
		r.Rider = rider
		x := reservation{Reservation: r, controlled: controlled, exempt: exempt}
		if i == 0 {
			x.block = len(block)
		}
		q.frames = append(q.frames, x)
	}
	c.reserved(len(block))
	if !rider {
		c.wake()
	}
	return nil
}

// CancelReserved drops the frames of a type that wait, with the blocks they are
// part of, and returns how many frames that were. notify_frame does not run for
// them.
func (c *Conn) CancelReserved(t wire.FrameType) int {
	return c.dropReserved(func(block []reservation) bool {
		return slices.ContainsFunc(block, func(r reservation) bool { return r.Type == t })
	}, nil)
}

// dropReserved removes the blocks that match; told, if set, is called for each
// of their frames.
func (c *Conn) dropReserved(match func([]reservation) bool, told func(*reservation)) int {
	var dropped []reservation
	for _, q := range c.plug.queues {
		kept := q.frames[:0]
		for i := 0; i < len(q.frames); {
			block := q.frames[i : i+q.frames[i].block]
			i += len(block)
			switch {
			case block[0].Size <= 0 || !match(block):
				kept = append(kept, block...)
			case c.plug.serving:
				// serveQueue walks the queues right now and will step over it.
				dropped = append(dropped, block...)
				block[0].Size = 0
				kept = append(kept, block...)
			default:
				dropped = append(dropped, block...)
			}
		}
		q.frames = kept
	}
	c.reserved(-len(dropped))
	if told != nil {
		for i := range dropped {
			told(&dropped[i])
		}
	}
	return len(dropped)
}

// reserved counts frames that wait.
func (c *Conn) reserved(n int) {
	c.plug.waiting += n
	c.v.ReservedFrames = uint32(c.plug.waiting)
}

// queueOf returns the queue of a plugin's frames.
func (c *Conn) queueOf(owner string) *frameQueue {
	for _, q := range c.plug.queues {
		if q.owner == owner {
			return q
		}
	}
	q := &frameQueue{owner: owner, weight: defaultWeight}
	c.plug.queues = append(c.plug.queues, q)
	return q
}

// HasReserved reports whether plugins' frames wait to be sent.
func (c *Conn) HasReserved() bool { return c.plug.waiting > 0 }

// reservedFor reports whether a frame waits that has to take p.
func (c *Conn) reservedFor(p *Path) bool {
	if c.plug.waiting == 0 {
		return false
	}
	for _, q := range c.plug.queues {
		for i := range q.frames {
			if q.frames[i].Path == p && !q.frames[i].Rider {
				return true
			}
		}
	}
	return false
}

// writeOne runs write_frame for one reservation and returns the bytes written.
func (c *Conn) writeOne(b *PacketBuilder, r *reservation) int {
	n := c.runWriter(b, r)
	if n == 0 {
		c.notifyUnsent(b.path, r)
	}
	return n
}

// runWriter runs write_frame and returns the bytes written.
func (c *Conn) runWriter(b *PacketBuilder, r *reservation) int {
	s := c.ops.frames.plugin.write.Slot(uint64(r.Type))
	if s == nil {
		return 0
	}
	before, records := len(b.b), len(b.records)
	eliciting, controlled := b.eliciting, b.controlled
	b.cookie = r.Cookie
	s.Run(WriteArg{Builder: b, Path: b.path, Type: uint64(r.Type), Cookie: r.Cookie, Room: uint64(r.Size)})
	n := len(b.b) - before
	if n > r.Size {
		// More than it booked: the frame is erased.
		b.b, b.records = b.b[:before], b.records[:records]
		b.eliciting, b.controlled = eliciting, controlled
		n = 0
	}
	return n
}

func (c *Conn) notifyUnsent(p *Path, r *reservation) {
	if s := c.ops.frames.plugin.notify.Slot(uint64(r.Type)); s != nil {
		s.Run(FrameFate{Path: p, Type: uint64(r.Type), Cookie: r.Cookie, Fate: FateUnsent})
	}
}
