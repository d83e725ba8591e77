package core

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// greeting is a transport parameter of a plugin.
const greeting uint64 = 0x3f01

// A greeter declares the parameter and remembers the peer's.
type greeter struct {
	value   string
	number  uint64
	theirs  []byte
	refuse  bool
	written int
}

func attachGreeter(t testing.TB, c *Conn, g *greeter) {
	param := func(name string, f func(*protoops.Call) error) protoops.Binding {
		return protoops.Binding{Key: protoops.Key{Name: name, Param: greeting}, Anchor: protoops.Replace, Pluglet: protoops.PlugletFunc(f)}
	}
	attach(t, c, &protoops.Plugin{Name: "org.example.greeter", Owned: true, Bindings: []protoops.Binding{
		param("write_transport_parameter", func(call *protoops.Call) error {
			g.written++
			w := protoops.ResultOf[WrittenParam](call)
			w.Present, w.Value = true, g.number
			if g.value != "" {
				w.SetBytes([]byte(g.value))
			}
			return nil
		}),
		param("process_transport_parameter", func(call *protoops.Call) error {
			g.theirs = append([]byte(nil), call.ArgBytes(1)...)
			if g.refuse {
				return call.SetResult(0, uint64(TransportParameterError))
			}
			return nil
		}),
	}})
}

func TestTransportParameterOfAPlugin(t *testing.T) {
	c, s := &greeter{number: 1 << 40}, &greeter{value: "good day"}
	l := connected(t, onClient(func(x *Conn) { attachGreeter(t, x, c) }), onServer(func(x *Conn) { attachGreeter(t, x, s) }))
	if v, n := wire.ParseVarint(s.theirs); n != len(s.theirs) || v != 1<<40 {
		t.Errorf("the server read %x", s.theirs)
	}
	if string(c.theirs) != "good day" {
		t.Errorf("the client read %q", c.theirs)
	}
	if c.written != 1 || s.written != 1 {
		t.Errorf("written %d and %d times", c.written, s.written)
	}
	l.transfer(l.c, l.s, 10_000)
}

// A parameter no one has claimed is an event, not an error; a claimed one may be
// refused.
func TestTransportParameterUnclaimedAndRefused(t *testing.T) {
	var unknown []uint64
	watch := func(x *Conn) {
		attach(t, x, plugin("org.example.watch", post("unknown_transport_parameter", func(call *protoops.Call) error {
			if id := call.Arg(0); !wire.IsReservedParameter(id) {
				unknown = append(unknown, id)
			}
			return nil
		})))
	}
	connected(t, onClient(func(x *Conn) { attachGreeter(t, x, &greeter{value: "hello"}) }), onServer(watch))
	if len(unknown) != 1 || unknown[0] != greeting {
		t.Errorf("unclaimed: %#x", unknown)
	}
	l := newLab(t, onClient(func(x *Conn) { attachGreeter(t, x, &greeter{value: "hello"}) }), onServer(func(x *Conn) { attachGreeter(t, x, &greeter{refuse: true}) }))
	l.until("refused", func() bool { return l.c.Err() != nil })
	var te *TransportError
	if !errors.As(l.c.Err(), &te) || te.Code != TransportParameterError || !te.Remote {
		t.Errorf("client: %v", l.c.Err())
	}
}

// On a server the hook runs when SNI, ALPN and the client's parameters are known
// and before its own are composed: the plugin for this client attaches there,
// reads the client's parameter and answers.
func TestSeamParametersHook(t *testing.T) {
	type seen struct {
		sni, alpn string
		theirs    uint64
		ours      bool
	}
	var got seen
	calls := 0
	s := &greeter{value: "good day"}
	c := &greeter{value: "hello"}
	connected(t,
		configs(func(client, server *Config) {
			server.TLS.NextProtos = []string{"other", "test"}
			client.MaxIdleTimeout = 12345e6
			server.OnTransportParameters = func(x *Conn) error {
				calls++
				got = seen{x.ServerName(), x.ALPN(), x.v.RemoteParams.MaxIdleTimeout, x.LocalParameters() != nil}
				attachGreeter(t, x, s)
				return nil
			}
		}),
		onClient(func(x *Conn) { attachGreeter(t, x, c) }))
	if want := (seen{"server", "test", 12345, false}); got != want || calls != 1 {
		t.Errorf("%d calls, saw %+v, want %+v", calls, got, want)
	}
	if string(s.theirs) != "hello" || string(c.theirs) != "good day" {
		t.Errorf("the server read %q, the client %q", s.theirs, c.theirs)
	}
}

// On a client the hook runs before its parameters are composed, and an error
// ends the attempt to connect.
func TestSeamParametersHookRefuses(t *testing.T) {
	no := errors.New("no plugin for this peer")
	l := newLab(t, configs(func(_, server *Config) { server.OnTransportParameters = func(*Conn) error { return no } }))
	l.until("refused", func() bool { return l.c.Err() != nil })
	var te *TransportError
	if !errors.As(l.c.Err(), &te) || te.Code != InternalError || !te.Remote {
		t.Errorf("client: %v", l.c.Err())
	}
	cc, _ := testConfigs(t)
	cc.OnTransportParameters = func(*Conn) error { return no }
	e := l.client
	before := e.Len()
	if _, err := e.Dial(l.now, &DialConfig{Config: cc, ServerName: "server", Local: clientAddr, Remote: serverAddr}); err == nil || e.Len() != before {
		t.Errorf("dialed: %v, %d connections", err, e.Len())
	}
}

// A resumed server connection runs the hook before it decides about early data,
// because a ticket holds only with the same plugins.
func TestSeamParametersHookBeforeEarlyData(t *testing.T) {
	_, server := testConfigs(t)
	cache := tls.NewLRUClientSessionCache(4)
	attachFor := true
	visit := func() *lab {
		return connected(t, configs(func(c, s *Config) {
			*s = *server
			s.Allow0RTT = true
			s.OnTransportParameters = func(x *Conn) error {
				if attachFor {
					attachGreeter(t, x, &greeter{value: "good day"})
				}
				return nil
			}
			c.TLS.ClientSessionCache = cache
		}))
	}
	for i, want := range []struct {
		plugin bool
		state  uint32
	}{{true, 0}, {true, 2}, {false, 3}} {
		attachFor = want.plugin
		l := visit()
		l.transfer(l.s, l.c, 1000)
		l.wait(1e9)
		if got := l.c.v.EarlyDataState; got != want.state {
			t.Errorf("visit %d: early data state %d, want %d", i, got, want.state)
		}
	}
}
