package plugins

import (
	"slices"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// AttachOptions say how a plugin is attached to a connection. The zero value is
// the default.
type AttachOptions struct {
	// Options are values for the plugin's options, as users write them.
	Options map[string]string
	// Log receives the lines that the plugin logs; nil discards them. It runs
	// as the connection's owner, within an operation, and must not block.
	Log func(in *Instance, level Level, line string)
	// Detached is told when the plugin is no longer attached: on request, after a
	// fault, at the end of the connection.
	Detached func(in *Instance)
}

// Attach attaches a plugin to a connection, or nothing of it. It is called by
// the connection's owner, with no operation running: in hoststack's Config.OnConn
// or from Conn.Do.
//
// Errors are *AttachError around ErrTooLate, ErrConflict, ErrMissing,
// ErrFrameType, ErrParameter or a *protoops.AttachError, which says which
// operation another plugin has replaced; *OptionError; or what the machine says.
func (p *Plugin) Attach(c *core.Conn, opt AttachOptions) (*Instance, error) {
	if err := p.admit(c); err != nil {
		return nil, err
	}
	h, err := attachHub(c)
	if err != nil {
		return nil, &AttachError{Plugin: p.Name(), Err: err}
	}
	in := &Instance{plugin: p, conn: c, hub: h, log: opt.Log, onDetached: opt.Detached}
	if err := in.prepare(opt); err != nil {
		h.leaveIfEmpty()
		return nil, err
	}
	if err := in.attach(); err != nil {
		in.vm.Close()
		h.leaveIfEmpty()
		return nil, &AttachError{Plugin: p.Name(), Err: err}
	}
	return in, nil
}

// prepare gives the instance its memory, with the options' values in it.
func (in *Instance) prepare(opt AttachOptions) error {
	m := in.plugin.manifest
	settings, err := m.settings(opt.Options)
	if err != nil {
		return err
	}
	if in.vm, err = in.plugin.module.NewInstance(m.Heap, &in.hub.budget); err != nil {
		return &AttachError{Plugin: m.Name, Err: err}
	}
	start, size := in.vm.Heap()
	in.heap.next, in.heap.end = start, start+size
	for _, s := range settings {
		copy(in.vm.Writable(uint64(s.addr), uint64(len(s.value))), s.value)
	}
	in.seed()
	return nil
}

// admit checks what package protoops does not know of.
func (p *Plugin) admit(c *core.Conn) error {
	m := p.manifest
	fail := func(err error, other string) error { return &AttachError{Plugin: m.Name, Other: other, Err: err} }
	if m.Owns() && c.LocalParameters() != nil {
		return fail(ErrTooLate, "")
	}
	others := Attached(c)
	for _, o := range others {
		om := o.plugin.manifest
		if slices.Contains(m.Conflicts, om.Name) || slices.Contains(om.Conflicts, m.Name) {
			return fail(ErrConflict, om.Name)
		}
		for _, f := range m.Frames {
			if slices.ContainsFunc(om.Frames, func(g Frame) bool { return g.Type == f.Type }) {
				return fail(ErrFrameType, om.Name)
			}
		}
		for _, id := range m.Parameters {
			if slices.Contains(om.Parameters, id) {
				return fail(ErrParameter, om.Name)
			}
		}
	}
	for _, r := range m.Requires {
		ok := slices.ContainsFunc(others, func(o *Instance) bool {
			return o.plugin.manifest.Name == r.Name && o.plugin.manifest.Version.Compare(r.Min) >= 0
		})
		if !ok {
			return fail(ErrMissing, r.Name+" "+r.Min.String())
		}
	}
	return nil
}

// attach binds the pluglets and declares the frames: now or, if the peer has to
// have the plugin too, when it turns out to have it.
func (in *Instance) attach() error {
	b, err := in.bindings()
	if err != nil {
		in.unhandle()
		return err
	}
	m := in.plugin.manifest
	plugin := &protoops.Plugin{Name: m.Name, Owned: m.Owns(), Bindings: b, Detached: in.detached}
	if m.Negotiate != 0 {
		err = in.conn.OfferPlugin(&core.PluginOffer{Plugin: plugin, Param: m.Negotiate, Value: []byte{}, Frames: in.frameDecls(), Settled: in.settled})
	} else if err = in.declareFrames(); err == nil {
		in.attachment, err = core.Operations.Attach(in.conn, plugin)
	}
	if err != nil {
		in.withdrawFrames()
		in.unhandle()
		return err
	}
	in.hub.instances = append(in.hub.instances, in)
	if in.attachment != nil {
		in.listen()
	}
	return nil
}

// settled is told whether the peer has the plugin too.
func (in *Instance) settled(a *protoops.Attachment, err error) {
	if a != nil {
		in.attachment, in.declared = a, len(in.plugin.manifest.Frames)
		in.listen()
		return
	}
	in.refusal = err
	in.end()
}

// bindings says where the pluglets attach.
func (in *Instance) bindings() ([]protoops.Binding, error) {
	p := in.plugin
	in.pluglets = make([]pluglet, len(p.programs))
	bindings := make([]protoops.Binding, len(p.programs))
	for i := range p.programs {
		g, l, b := &p.programs[i], &in.pluglets[i], &bindings[i]
		*l = pluglet{program: g, in: in, handles: g.use.handles, key: g.Key}
		*b = protoops.Binding{Key: g.Key, Anchor: g.Anchor, Pluglet: l, Declares: g.Declares}
		if g.Handles {
			var err error
			if l.event, l.key, err = in.hub.handle(g.Key); err != nil {
				return nil, err
			}
			b.Key, b.Declares = l.key, true
		}
		if g.Key.Name == "plugin_timer" {
			b.Pluglet = timed{l}
		}
	}
	return bindings, nil
}

// listen makes the plugin's handlers of events run.
func (in *Instance) listen() {
	for i := range in.pluglets {
		if e := in.pluglets[i].event; e != nil {
			e.handlers = append(e.handlers, in.pluglets[i].key)
		}
	}
}

// unhandle gives up the events that the plugin would have handled.
func (in *Instance) unhandle() {
	for i := range in.pluglets {
		if e := in.pluglets[i].event; e != nil {
			e.remove(in.pluglets[i].key)
		}
	}
}

func (in *Instance) frameDecls() []core.FrameDecl {
	var list []core.FrameDecl
	for _, f := range in.plugin.manifest.Frames {
		list = append(list, core.FrameDecl{Type: wire.FrameType(f.Type), Packets: f.Packets, AckEliciting: f.AckEliciting,
			Probing: f.Probing, CongestionControlled: f.CongestionControlled, Owner: in.plugin.Name(), Weight: f.Weight})
	}
	return list
}

// declareFrames makes the plugin's frame types known to the engine.
func (in *Instance) declareFrames() error {
	for _, d := range in.frameDecls() {
		if err := in.conn.DeclareFrame(d); err != nil {
			return err
		}
		in.declared++
	}
	return nil
}

// withdrawFrames undoes declareFrames, as far as it got.
func (in *Instance) withdrawFrames() {
	for _, f := range in.plugin.manifest.Frames[:in.declared] {
		in.conn.WithdrawFrame(wire.FrameType(f.Type))
	}
	in.declared = 0
}

// A timed pluglet runs only when its plugin's timer has expired: the engine has
// one timer for all of them.
type timed struct{ *pluglet }

// Run runs the pluglet if it is due.
func (t timed) Run(c *protoops.Call) error {
	if !t.in.due() {
		return nil
	}
	return t.pluglet.Run(c)
}

// Attached lists the plugins on a connection in the order they were attached.
func Attached(c *core.Conn) []*Instance {
	if h := hubOf(c); h != nil {
		return slices.Clone(h.instances)
	}
	return nil
}

// Find returns the plugin of that name on a connection, nil if there is none.
func Find(c *core.Conn, name string) *Instance {
	for _, in := range Attached(c) {
		if in.plugin.Name() == name {
			return in
		}
	}
	return nil
}
