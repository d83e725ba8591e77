package plugins

import (
	"errors"
	"hash/fnv"
	"unsafe"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

// An Instance is a plugin on one connection. Its methods may be called by the
// connection's owner only, as those of core.Conn.
type Instance struct {
	plugin     *Plugin
	conn       *core.Conn
	hub        *hub
	vm         *vm.Instance
	attachment *protoops.Attachment
	pluglets   []pluglet

	frames [vm.MaxNesting]*frame // by depth of nested calls
	depth  int

	declared int   // frame types that the engine knows
	refusal  error // why it could not be attached although the peer has it

	heap       heap
	pathData   map[uint64]uint32
	streamData map[uint64]uint32
	maps       *maps
	messages   messages
	random     random
	timer      mono.Time // when the plugin wants its timer, 0 never
	log        func(*Instance, Level, string)
	onDetached func(*Instance)
}

// Plugin returns what was attached.
func (in *Instance) Plugin() *Plugin { return in.plugin }

// Conn returns the connection.
func (in *Instance) Conn() *core.Conn { return in.conn }

// Attached reports whether the plugin is attached: not before it was negotiated,
// if it has to be, and not after it was detached.
func (in *Instance) Attached() bool { return in.attachment != nil && in.attachment.Attached() }

// Refusal returns why a negotiated plugin could not be attached although the peer
// has it too, nil if that did not happen.
func (in *Instance) Refusal() error { return in.refusal }

// Fault returns why the plugin was detached, nil if no pluglet failed.
func (in *Instance) Fault() *protoops.PlugletError {
	if in.attachment == nil {
		return nil
	}
	return in.attachment.Fault()
}

// Stats returns what each pluglet did. It stays readable after a detach.
func (in *Instance) Stats() []protoops.PlugletStats {
	if in.attachment == nil {
		return nil
	}
	return in.attachment.Stats()
}

// Messages returns the messages that the plugin has queued since the last call.
// Their bytes are the caller's.
func (in *Instance) Messages() [][]byte { return in.messages.take() }

// DroppedMessages returns how many messages found the queue full.
func (in *Instance) DroppedMessages() uint64 { return in.messages.dropped }

// OnMessage makes f run whenever a message is queued, within the operation that
// queued it: f takes it with Messages, or notes that there is something, and
// returns. nil for nothing.
func (in *Instance) OnMessage(f func()) { in.messages.notify = f }

// HeapUsed returns how many bytes of its heap the plugin holds.
func (in *Instance) HeapUsed() uint32 { return in.heap.used }

// Detach takes the plugin off its connection: at once or, if an operation is
// running, when the outermost one has ended. A plugin that owns a frame type or
// a transport parameter should only be detached when the connection ends.
func (in *Instance) Detach() {
	if in.attachment != nil {
		core.Operations.Detach(in.conn, in.attachment)
	}
}

var errNesting = errors.New("too many calls of the plugin inside one another")

// enter returns the record of a call that starts.
func (in *Instance) enter() (*frame, error) {
	d := uint(in.depth)
	if d >= uint(len(in.frames)) {
		return nil, errNesting
	}
	h := in.frames[d]
	if h == nil {
		h = in.newFrame()
	}
	in.depth++
	return h, nil
}

//go:noinline
func (in *Instance) newFrame() *frame {
	h := &frame{in: in}
	h.vmCall.User = h
	h.views[slotContext-1], h.views[slotConn-1] = unsafe.Pointer(&h.staging), unsafe.Pointer(in.conn)
	in.frames[in.depth] = h
	return h
}

// leave ends a call. The record keeps the objects that the pluglet saw until
// the next call, as the machine does: a few for each plugin.
func (in *Instance) leave() { in.depth-- }

// become makes the record one of calls of p. Of what the pluglet before saw
// nothing is left in slots that p does not fill.
func (h *frame) become(p *pluglet) {
	if h.p != nil {
		for n := slotArgs; n <= int(h.p.use.slots); n++ {
			h.views[n-1] = nil
		}
	}
	h.p = p
	if n := int(p.use.slots); n != len(h.vmCall.Views) {
		h.vmCall.Views = h.views[:n]
	}
}

// ordered returns the plugin's maps.
func (in *Instance) ordered() *maps {
	if in.maps == nil {
		in.maps = new(maps)
	}
	return in.maps
}

// seed begins the plugin's sequence of random numbers.
func (in *Instance) seed() {
	h := fnv.New64a()
	_, _ = h.Write([]byte(in.plugin.Name()))
	_, _ = h.Write(in.conn.ODCID().AppendTo(nil))
	in.random = random(h.Sum64() ^ uint64(in.conn.Now()))
}

// setTimer arms the plugin's timer.
func (in *Instance) setTimer(at mono.Time) {
	in.timer = 0
	if at != 0 && in.conn.SetPluginTimer(at) {
		in.timer = at
	}
}

// due reports whether the plugin's timer has expired, and disarms it.
func (in *Instance) due() bool {
	if in.timer == 0 || in.timer > in.conn.Now() {
		return false
	}
	in.timer = 0
	return true
}

// detached ends an instance: its pluglets will not run any more.
func (in *Instance) detached(*protoops.Attachment) {
	in.withdrawFrames()
	in.end()
}

// end gives back what the instance holds.
func (in *Instance) end() {
	in.hub.remove(in)
	in.vm.Close()
	if in.depth == 0 {
		in.frames = [vm.MaxNesting]*frame{} // and what they name
	}
	if in.onDetached != nil {
		in.onDetached(in)
	}
}
