package core

import (
	"testing"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Words for the tests of operations and seams: plugins are Go functions here.

func bind(a protoops.Anchor, name string, f func(*protoops.Call) error) protoops.Binding {
	return protoops.Binding{Key: protoops.Plain(name), Anchor: a, Pluglet: protoops.PlugletFunc(f)}
}

func replace(name string, f func(*protoops.Call) error) protoops.Binding {
	return bind(protoops.Replace, name, f)
}

func pre(name string, f func(*protoops.Call) error) protoops.Binding {
	return bind(protoops.Pre, name, f)
}

func post(name string, f func(*protoops.Call) error) protoops.Binding {
	return bind(protoops.Post, name, f)
}

// onFrame attaches to one of the four operations of a frame type.
func onFrame(a protoops.Anchor, name string, t wire.FrameType, f func(*protoops.Call) error) protoops.Binding {
	return protoops.Binding{Key: protoops.Key{Name: name, Param: uint64(t)}, Anchor: a, Pluglet: protoops.PlugletFunc(f)}
}

func plugin(name string, b ...protoops.Binding) *protoops.Plugin {
	return &protoops.Plugin{Name: name, Bindings: b}
}

func attach(t testing.TB, c *Conn, p *protoops.Plugin) *protoops.Attachment {
	t.Helper()
	a, err := Operations.Attach(c, p)
	if err != nil {
		t.Fatalf("attach %s: %v", p.Name, err)
	}
	return a
}

// idleConn returns a client's connection that has sent nothing yet.
func idleConn(t testing.TB) *Conn {
	t.Helper()
	cc, sc := testConfigs(t)
	p := newPair(t, cc, sc)
	c, err := p.client.Dial(p.now, &DialConfig{Config: cc, ServerName: "server", Local: clientAddr, Remote: serverAddr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(p.now, 0, "") })
	return c
}
