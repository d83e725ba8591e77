package plugins

import (
	"fmt"
	"unsafe"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
)

// A pluglet is a program on one connection.
type pluglet struct {
	*program
	in    *Instance
	event *event       // whose handler it is, nil for most
	key   protoops.Key // where it is attached

	handles []handleUse // program.use.handles, where host functions look
}

var _ protoops.Trusted = (*pluglet)(nil)

// ReadsOnly tells package protoops that it may run the pluglet without its
// guards: the machine lets nothing through that an observer may not do, and a
// panic in it would be a mistake of the engine's.
func (p *pluglet) ReadsOnly() bool { return true }

// Run runs the pluglet. Most calls are of observers that look at nothing but the
// connection, several for each packet: what they do not need must not cost them
// more than a comparison.
func (p *pluglet) Run(c *protoops.Call) error {
	in := p.in
	src := c
	if p.event != nil {
		src = p.event.call
	}
	in.hub.refill(in.conn.Now())
	var h *frame
	var err error
	if d := uint(in.depth); d < uint(len(in.frames)) && in.frames[d] != nil {
		h = in.frames[d]
		in.depth++
	} else if h, err = in.enter(); err != nil {
		return err
	}
	h.call, h.src = c, src
	if h.p != p {
		h.become(p)
	}
	if p.use.prepared {
		if shown, err := p.present(h); err != nil || !shown {
			in.leave()
			if err != nil {
				return err
			}
			return p.pass(c)
		}
	}
	r, err := in.vm.Run(p.prog, &h.vmCall)
	if r != 0 && err == nil {
		err = fmt.Errorf("%w: %d", ErrFailure, int64(r))
	}
	if p.use.replies && err == nil {
		err = p.answer(h)
	}
	in.leave()
	return err
}

// present prepares what the pluglet sees beside the connection. It reports false
// if an object is missing that the pluglet takes for granted.
func (p *pluglet) present(h *frame) (bool, error) {
	if p.use.slots > slotConn && !p.show(h) {
		return false, nil
	}
	if p.use.staged {
		return true, p.stage(h)
	}
	return true, nil
}

// pass does what the engine would do without the pluglet.
func (p *pluglet) pass(c *protoops.Call) error {
	if p.Anchor == protoops.Replace && !p.Declares && p.event == nil {
		c.Native()
	}
	return nil
}

// show names what the pluglet sees of the operation. It reports false if an
// object is missing that the pluglet takes for granted.
func (p *pluglet) show(h *frame) bool {
	args := h.src.ArgsPointer()
	if p.use.args {
		h.views[slotArgs-1] = args
	}
	if p.use.results {
		h.views[slotResults-1] = h.src.ResultsPointer()
	}
	for i := range p.use.handles {
		u := &p.use.handles[i]
		var o unsafe.Pointer
		if u.call {
			o = h.passed(u.kind)
		} else {
			o = *(*unsafe.Pointer)(unsafe.Add(args, u.offset))
		}
		if o == nil && !u.nullable {
			return false
		}
		h.views[u.slot-1] = o
	}
	return true
}

// passed returns the object of a kind that the caller of a declared operation
// passed, nil if it passed none.
func (h *frame) passed(kind int) unsafe.Pointer {
	for i := range h.src.NumHandles() {
		switch o := h.src.ArgHandle(i).(type) {
		case *core.Path:
			if kind == kindPath {
				return unsafe.Pointer(o)
			}
		case *core.Stream:
			if kind == kindStream {
				return unsafe.Pointer(o)
			}
		case *core.SentPacket:
			if kind == kindPacket {
				return unsafe.Pointer(o)
			}
		case *core.ReceivedPacket:
			if kind == kindReceived {
				return unsafe.Pointer(o)
			}
		case *core.PacketBuilder:
			if kind == kindBuilder {
				return unsafe.Pointer(o)
			}
		}
	}
	return nil
}

// stage prepares the members that are kept for the call: results at zero, words,
// copies of bytes.
func (p *pluglet) stage(h *frame) error {
	u := &p.use
	for _, a := range u.answers {
		h.staging[a.member] = 0
	}
	if len(u.words) > 0 {
		p.stageWords(h)
	}
	if len(u.bytes) == 0 {
		return nil
	}
	base, room := p.in.vm.Buffer()
	for _, b := range u.bytes {
		src := h.sourceBytes(b.index)
		if len(src) > len(room) {
			return fmt.Errorf("%d bytes do not fit into the call buffer", len(src))
		}
		n := copy(room, src)
		h.staging[b.member], h.staging[b.member+1] = uint64(base), uint64(n)
		used := min((n+15)&^15, len(room))
		room, base = room[used:], base+uint32(used)
	}
	return nil
}

// sourceBytes returns the bytes of argument i, of the frame for -1.
func (h *frame) sourceBytes(i int) []byte {
	if i >= 0 {
		if h.p.context.Operation == "" && i >= h.src.NumBytes() {
			return nil
		}
		return h.src.ArgBytes(i)
	}
	if r := protoops.ArgsOf[core.Received[core.PluginFrame]](h.src); r != nil {
		return r.Frame().Bytes
	}
	return nil
}

// stageWords fills in the arguments of an operation that a plugin declared, or
// its results under post.
func (p *pluglet) stageWords(h *frame) {
	n := h.src.NumArgs()
	for _, i := range p.use.words {
		m := &p.context.Members[i]
		h.staging[i] = 0
		switch m.Role {
		case RoleCount:
			h.staging[i] = uint64(n)
		case RoleWord:
			if m.index < n {
				h.staging[i] = h.src.Arg(m.index)
			}
		case RoleAnswer:
			if p.Anchor == protoops.Post && m.index < h.src.NumResults() {
				h.staging[i] = h.src.Result(m.index)
			}
		}
	}
}

// answer hands the results that the pluglet may have written to the operation,
// which checks their range.
func (p *pluglet) answer(h *frame) error {
	if p.Anchor.ReadOnly() {
		return nil
	}
	for i := range p.use.answers {
		a := &p.use.answers[i]
		if err := h.call.SetResult(a.index, extend(h.staging[a.member], a.size, a.signed)); err != nil {
			return err
		}
	}
	for _, i := range p.use.words {
		if m := &p.context.Members[i]; m.Role == RoleAnswer {
			if err := h.call.SetResult(m.index, h.staging[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// extend widens a staged value of size bytes to 64 bits.
func extend(v uint64, size uint8, signed bool) uint64 {
	shift := 64 - 8*uint(size)
	if signed {
		return uint64(int64(v<<shift) >> shift)
	}
	return v << shift >> shift
}

// loadResults makes the operation's results the context's, after the native body
// answered.
func (p *pluglet) loadResults(h *frame) {
	for i := range p.use.answers {
		a := &p.use.answers[i]
		h.staging[a.member] = h.call.Result(a.index)
	}
}

// setResult stages a result for the pluglet.
func (p *pluglet) setResult(h *frame, name string, v uint64) {
	for i := range p.use.answers {
		if a := &p.use.answers[i]; p.context.Members[a.member].Name == name {
			h.staging[a.member] = v
			return
		}
	}
	for i := range p.context.Members {
		if m := &p.context.Members[i]; m.Name == name && m.Role == RoleResult {
			_ = h.call.SetResult(m.index, v) // a result of the engine's own cannot be out of range
		}
	}
}
