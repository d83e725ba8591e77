package core

import (
	"slices"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A PluginOffer is a plugin that is of use only if both ends have it. A
// transport parameter decides: a client announces it with its value and attaches
// the plugin when the server's answer has the parameter too; a server attaches
// it when the client has announced it, and only then answers. Otherwise nothing
// of the plugin is attached and none of its frame types is known.
type PluginOffer struct {
	Plugin *protoops.Plugin
	Param  uint64 // transport parameter that stands for the plugin
	Value  []byte // of our parameter
	Frames []FrameDecl

	// Accept, if set, judges the peer's value; nil accepts any.
	Accept func(value []byte) bool
	// Answer, if set, makes a server's value out of the client's, in place of
	// Value. It runs once Accept has agreed.
	Answer func(value []byte) []byte
	// Settled, if set, is told once what became of the offer: a is nil if the
	// peer does not have the plugin, or Accept disagreed, or, with err, if the
	// plugin could not be attached. A client cannot go back then, because the
	// server counts on the plugin: its connection is closed with INTERNAL_ERROR.
	Settled func(a *protoops.Attachment, err error)

	accepted bool
	value    []byte
	attach   func(*Conn, *protoops.Plugin) (*protoops.Attachment, error)
}

// OfferPlugin makes the connection negotiate a plugin. It may be called until
// our transport parameters are composed: by a client while dialing, by a server
// when it accepts the connection or in Config.OnTransportParameters. The offer
// is the connection's from then on.
//
// Its errors are ErrNotReady if it comes too late, ErrParam if the parameter is
// the engine's own or offered already, ErrFrameType, and the
// *protoops.AttachError that attaching would meet now.
func (c *Conn) OfferPlugin(o *PluginOffer) error {
	if c.localParams != nil || c.v.State != StateHandshake {
		return ErrNotReady
	}
	if notAPluginsParam(o.Param) || slices.ContainsFunc(c.plug.offers, func(x *PluginOffer) bool { return x.Param == o.Param }) {
		return ErrParam
	}
	for i := range o.Frames {
		if c.frameTaken(o.Frames[i].Type) {
			return ErrFrameType
		}
	}
	if err := Operations.Admit(c, o.Plugin); err != nil {
		return err
	}
	// Not named where it is called: the table of operations cannot refer to code
	// that refers to the table.
	o.attach = Operations.Attach
	c.plug.offers = append(c.plug.offers, o)
	return nil
}

// settleOffers decides which plugins both ends have.
func (c *Conn) settleOffers(tp *wire.TransportParameters) *TransportError {
	for _, o := range c.plug.offers {
		i := slices.IndexFunc(tp.Unknown, func(p wire.RawParameter) bool { return p.ID == o.Param })
		if i < 0 || o.Accept != nil && !o.Accept(tp.Unknown[i].Value) {
			o.settled(nil, nil)
			continue
		}
		a, err := c.attachOffer(o)
		o.settled(a, err)
		switch {
		case err == nil:
			o.accepted = true
			if o.value = o.Value; c.IsServer() && o.Answer != nil {
				o.value = o.Answer(tp.Unknown[i].Value)
			}
		case !c.IsServer():
			te := violation(InternalError, wire.Crypto, "plugin %s cannot be attached", o.Plugin.Name)
			te.Cause = err
			return te
		}
	}
	return nil
}

func (o *PluginOffer) settled(a *protoops.Attachment, err error) {
	if o.Settled != nil {
		o.Settled(a, err)
	}
}

// attachOffer attaches a plugin and declares its frame types, or neither.
func (c *Conn) attachOffer(o *PluginOffer) (*protoops.Attachment, error) {
	for i := range o.Frames {
		if err := c.DeclareFrame(o.Frames[i]); err != nil {
			c.withdraw(o.Frames[:i])
			return nil, err
		}
	}
	a, err := o.attach(c, o.Plugin)
	if err != nil {
		c.withdraw(o.Frames)
		return nil, err
	}
	return a, nil
}

func (c *Conn) withdraw(frames []FrameDecl) {
	for i := range frames {
		c.WithdrawFrame(frames[i].Type)
	}
}

// appendOffers adds the parameters that stand for plugins: all that a client
// offers, those a server has accepted.
func (c *Conn) appendOffers(tp *wire.TransportParameters) {
	for _, o := range c.plug.offers {
		switch {
		case !c.IsServer():
			tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: o.Param, Value: o.Value})
		case o.accepted:
			tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: o.Param, Value: o.value})
		}
	}
}

// offered reports whether a parameter stands for a plugin that was offered.
func (c *Conn) offered(id uint64) bool {
	return slices.ContainsFunc(c.plug.offers, func(o *PluginOffer) bool { return o.Param == id })
}
