package plugins

import (
	"strconv"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// hubName is the name under which a hub is attached. It is no plugin's: those
// have a dot in theirs.
const hubName = "plugins"

// A hub is what all plugins of one connection share: it lets several of them
// act on one event and follows the life of the connection. It is itself attached as a plugin, of Go code.
type hub struct {
	conn       *core.Conn
	attachment *protoops.Attachment
	instances  []*Instance
	events     map[string]*event
	handlers   int // numbers the operations that handlers are the bodies of

	closed, told bool // the connection is, everybody has been

	budget int64     // fuel that all plugins may still spend at this instant
	at     mono.Time // the instant
}

// An event is one of the engine's on which plugins act.
type event struct {
	hub        *hub
	key        protoops.Key
	handlers   []protoops.Key
	call       *protoops.Call // the one being handled
	attachment *protoops.Attachment
}

// hubOf returns a connection's hub, nil if it has none.
func hubOf(c *core.Conn) *hub {
	for _, a := range c.Operations().Attachments() {
		if p := a.Plugin(); p.Name == hubName && len(p.Bindings) > 0 {
			if f, ok := p.Bindings[0].Pluglet.(*hubEnd); ok {
				return f.hub
			}
		}
	}
	return nil
}

// eventFuel is what the pluglets of one connection may spend together while the
// engine handles what happens at one instant: its batch of packets and timers.
const eventFuel = 2 << 20

// refill renews the budget when time has passed.
func (h *hub) refill(now mono.Time) {
	if now != h.at {
		h.at, h.budget = now, eventFuel
	}
}

// hubEnd runs when the state of the connection changes.
type hubEnd struct{ hub *hub }

func (e *hubEnd) Run(c *protoops.Call) error {
	e.hub.closed = e.hub.closed || c.Arg(1) >= uint64(core.StateClosed)
	e.hub.endIfOver()
	return nil
}

func (h *hub) connectionClosed(*protoops.Call) error {
	h.told = true
	h.endIfOver()
	return nil
}

// endIfOver detaches all plugins once the connection is closed and everybody has
// been told; the machines are given back when the running operation has ended.
func (h *hub) endIfOver() {
	if !h.closed || !h.told {
		return
	}
	for _, in := range h.instances {
		if in.attachment == nil {
			in.end() // the handshake did not get as far as to settle its offer
		}
		in.Detach()
	}
}

// attachHub returns the connection's hub, a new one if it has none.
func attachHub(c *core.Conn) (*hub, error) {
	if h := hubOf(c); h != nil {
		return h, nil
	}
	h := &hub{conn: c, budget: eventFuel, at: c.Now()}
	post := func(name string, f protoops.Pluglet) protoops.Binding {
		return protoops.Binding{Key: protoops.Plain(name), Anchor: protoops.Post, Pluglet: f}
	}
	a, err := core.Operations.Attach(c, &protoops.Plugin{Name: hubName, Bindings: []protoops.Binding{
		post("connection_state_changed", &hubEnd{h}),
		post("connection_closed", protoops.PlugletFunc(h.connectionClosed)),
		post("path_closed", protoops.PlugletFunc(h.pathClosed)),
		post("stream_closed", protoops.PlugletFunc(h.streamClosed)),
	}})
	h.attachment = a
	return h, err
}

func (h *hub) pathClosed(c *protoops.Call) error {
	if p, ok := c.ArgHandle(0).(*core.Path); ok && p != nil {
		for _, in := range h.instances {
			in.forget(in.pathData, p.ID)
		}
	}
	return nil
}

func (h *hub) streamClosed(c *protoops.Call) error {
	if s, ok := c.ArgHandle(0).(*core.Stream); ok && s != nil {
		for _, in := range h.instances {
			in.forget(in.streamData, s.ID)
		}
	}
	return nil
}

// remove forgets an instance that was detached, and the hub with the last one.
func (h *hub) remove(in *Instance) {
	for i, x := range h.instances {
		if x == in {
			// A copy: somebody may be walking the list.
			h.instances = append(h.instances[:i:i], h.instances[i+1:]...)
			break
		}
	}
	in.unhandle()
	h.leaveIfEmpty()
}

// leaveIfEmpty detaches the hub when it serves nobody.
func (h *hub) leaveIfEmpty() {
	if len(h.instances) == 0 {
		core.Operations.Detach(h.conn, h.attachment)
	}
}

// handle makes room for one more handler of an event and returns the key of the
// operation that is to be its body.
func (h *hub) handle(k protoops.Key) (*event, protoops.Key, error) {
	e := h.events[k.Name]
	if e == nil {
		e = &event{hub: h, key: k}
		a, err := core.Operations.Attach(h.conn, &protoops.Plugin{Name: hubName + ".on." + k.Name,
			Bindings: []protoops.Binding{{Key: k, Anchor: protoops.Replace, Pluglet: e}}})
		if err != nil {
			return nil, protoops.Key{}, err
		}
		e.attachment = a
		if h.events == nil {
			h.events = make(map[string]*event)
		}
		h.events[k.Name] = e
	}
	h.handlers++
	return e, protoops.Plain("on." + k.Name + "." + strconv.Itoa(h.handlers)), nil
}

// Run lets each handler act. A handler that fails is its plugin's fault alone.
func (e *event) Run(c *protoops.Call) error {
	outer := e.call
	e.call = c
	for _, k := range e.handlers {
		_, _ = protoops.RunDeclared(e.hub.conn.Operations(), e.hub.conn, k, nil)
	}
	e.call = outer
	return nil
}

func (e *event) remove(k protoops.Key) {
	for i, x := range e.handlers {
		if x == k {
			e.handlers = append(e.handlers[:i:i], e.handlers[i+1:]...)
			break
		}
	}
	if len(e.handlers) == 0 {
		delete(e.hub.events, e.key.Name)
		core.Operations.Detach(e.hub.conn, e.attachment)
	}
}
