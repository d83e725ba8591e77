package protoops

// A Pluglet is one loaded unit of plugin code. Run returns an error to fail:
// see the package comment for what follows. It must not keep the Call, nor
// anything reached through it, after it returns.
type Pluglet interface{ Run(*Call) error }

// PlugletFunc is a Go function as a Pluglet.
type PlugletFunc func(*Call) error

// Run calls f.
func (f PlugletFunc) Run(c *Call) error { return f(c) }

// A Trusted pluglet may be run as an observer without the guards that Go code
// from anywhere needs. It is for hosts of bytecode, for which an anchor's rights
// and faults are their own trade.
type Trusted interface {
	Pluglet
	// ReadsOnly reports whether Run, under Pre and Post, writes nothing that it
	// reaches through its Call, and never panics. It is asked once, when the
	// pluglet is attached. Elsewhere the pluglet is run like any other.
	ReadsOnly() bool
}

// A Binding says where one pluglet of a plugin attaches.
type Binding struct {
	Key     Key
	Anchor  Anchor
	Pluglet Pluglet
	// Declares makes Key a new operation of the plugin's own with Pluglet as
	// its body; Anchor is Replace. An Extern binding declares always.
	Declares bool
}

func (b *Binding) declares() bool { return b.Declares || b.Anchor == Extern }

// A Plugin is a set of pluglets that attach together or not at all. Attaching
// does not change it, so one Plugin may serve many connections if its pluglets
// can.
type Plugin struct {
	Name string
	// Owned: the plugin owns a frame type, a transport parameter or a path that
	// was negotiated with the peer; a fault of it must close the connection.
	Owned    bool
	Bindings []Binding
	// Detached, if set, is called each time the plugin has been detached from a
	// connection, on request or after a fault, with no operation running.
	Detached func(*Attachment)
}
