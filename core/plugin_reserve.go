package core

import "github.com/pquic-go/pquic/protoops"

// Which plugin's reserved frames go into a packet: a deficit round robin over the
// plugins (Shreedhar and Varghese, 1995), within what the engine's data leaves to
// all of them.

// A serving says why a queue's turn ended.
type serving uint8

const (
	servedAll       serving = iota // nothing more of it can go into this packet
	servedNoRoom                   // what comes next does not fit into what is left
	servedNoDeficit                // its share of the round is used up
)

// writeReserved writes the plugins' reserved frames that fit. riders says that
// the packet is complete but for frames that would not have been worth one.
func (c *Conn) writeReserved(b *PacketBuilder, riders bool) {
	if c.plug.waiting == 0 || b.level != level1RTT || riders && b.empty() {
		return
	}
	limited := c.streams.sched.Len() > 0
	if limited && !riders && !b.blocked {
		// Per packet, plugins gain (100-share) % of it; what they use is taken
		// off, and they wait while they are in debt.
		share := int64(min(c.coreShare(NoArg{}).Count, 100))
		c.plug.credit = min(c.plug.credit+int64(len(b.buf))*(100-share)/100, int64(len(b.buf)))
	}
	c.plug.serving = true
	defer func() { c.plug.serving = false }()
	// The queue whose frame found no room keeps its turn for the next packet. The
	// others may use the scraps, out of what they have left of their shares.
	keep := -1
	for idle := 0; idle < len(c.plug.queues); c.plug.turn++ {
		c.plug.turn %= len(c.plug.queues)
		q := c.plug.queues[c.plug.turn]
		before := len(b.b)
		end := c.serveQueue(b, q, limited, riders)
		switch {
		case len(q.frames) == 0:
			q.deficit = 0
		case end == servedNoRoom && keep < 0:
			keep = c.plug.turn
		case end == servedNoDeficit && keep < 0:
			q.deficit += int64(q.weight) * weightQuantum
			idle = 0
			continue
		}
		if idle++; len(b.b) != before {
			idle = 1
		}
	}
	if keep >= 0 {
		c.plug.turn = keep
	}
}

// serveQueue writes what q may put into the packet, in the order of its
// reservations: a frame waits behind one whose deficit does not suffice, so that
// large frames are not passed over for ever. One that only does not fit here and
// now, or has to take another path, lets others pass.
func (c *Conn) serveQueue(b *PacketBuilder, q *frameQueue, limited, riders bool) serving {
	// Pluglets that run here may reserve more: that waits for the next packet.
	n := len(q.frames)
	kept := 0
	end, behind := servedAll, false
	for i := 0; i < n; {
		block := q.frames[i : i+q.frames[i].block]
		i += len(block)
		r := &block[0]
		if r.Size <= 0 {
			continue // cancelled meanwhile
		}
		size := 0
		for j := range block {
			size += block[j].Size
		}
		waits := true
		switch {
		case behind || r.Rider != riders || r.Path != nil && r.Path != b.path || b.blocked && r.controlled:
		case limited && !r.exempt && c.plug.credit <= 0:
		case b.room() < size:
			end = servedNoRoom
			if b.empty() && b.reserve == 0 {
				// It does not fit into a packet of its own: its plugin is told.
				c.dropBlock(b.path, block)
				continue
			}
		case !r.exempt && int64(size) > q.deficit:
			behind = true
			if end == servedAll {
				end = servedNoDeficit
			}
		default:
			waits = false
		}
		if waits {
			kept += copy(q.frames[kept:], block)
			continue
		}
		c.reserved(-len(block))
		for j := range block {
			x := block[j] // a pluglet that reserves may move the queue
			written := int64(c.writeOne(b, &x))
			if !x.exempt {
				q.deficit -= written
				if limited {
					c.plug.credit -= written
				}
			}
		}
	}
	if end == servedAll && kept == 0 && len(q.frames) > n {
		end = servedNoRoom // its turn goes on with what was reserved meanwhile
	}
	q.frames = append(q.frames[:kept], q.frames[n:]...)
	return end
}

// dropBlock gives up frames that wait.
func (c *Conn) dropBlock(p *Path, block []reservation) {
	c.reserved(-len(block))
	for j := range block {
		x := block[j]
		c.notifyUnsent(p, &x)
	}
}

// coreShare chooses the percentage of bytes the engine's data keeps when plugins have frames to send. Operation "core_share".
func (c *Conn) coreShare(a NoArg) Count {
	if c.ops.coreShare.Attached() {
		return c.ops.coreShare.Run(a)
	}
	return c.coreShareNative(a)
}

var opCoreShare = protoops.Define(protoops.Key{Name: "core_share", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the percentage of bytes the engine's data keeps when plugins have frames to send",
		Fires:   "per packet with reserved frames while stream data waits",
		Native:  "50",
	},
	func(c *Conn) *protoops.Slot[NoArg, Count] { return &c.ops.coreShare },
	(*Conn).coreShareNative)

func (c *Conn) coreShareNative(NoArg) Count { return Count{coreShare} }
