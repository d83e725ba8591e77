package admin

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pquic-go/pquic/cmd/internal/pluginflag"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/standard"
)

// answer does what a request asks for.
func (s *Server) answer(r *Request, out *replies) (*End, error) {
	list, err := s.conns.find(r.Connection)
	if err != nil {
		return nil, err
	}
	switch r.Op {
	case OpAttach:
		return s.attach(r, list, out)
	case OpDetach:
		return s.detach(r, list, out)
	case OpStats:
		return s.stats(r, list, out)
	}
	return s.list(list, out)
}

// do runs f on a connection. It reports false if that has ended.
func (e *entry) do(f func(*core.Conn)) bool { return e.conn.Do(f) == nil }

// identify returns what names a connection. It runs on the worker.
func (e *entry) identify(c *core.Conn) *Connection {
	return &Connection{Number: e.number, ID: c.ODCID().String()}
}

// attached returns the plugins of a connection. It runs on the worker.
func (e *entry) attached(c *core.Conn) []*plugins.Instance {
	if !e.plugged {
		return nil
	}
	return plugins.Attached(c)
}

func (s *Server) list(list []*entry, out *replies) (*End, error) {
	end := new(End)
	for _, e := range list {
		var line *Connection
		if e.do(func(c *core.Conn) { line = e.describe(c) }) {
			out.write(&Reply{Connection: line})
			end.Connections++
		}
	}
	return end, nil
}

func (e *entry) describe(c *core.Conn) *Connection {
	line := e.identify(c)
	line.Remote, line.ALPN, line.SNI = c.RemoteAddr().String(), c.ALPN(), c.ServerName()
	for _, in := range e.attached(c) {
		p := in.Plugin()
		x := Plugin{Name: p.Name(), Version: p.Manifest().Version.String(), Engine: p.Engine(), Offered: !in.Attached(), Heap: in.HeapUsed()}
		for _, st := range in.Stats() {
			x.Calls += st.Calls
		}
		line.Plugins = append(line.Plugins, x)
	}
	return line
}

func (s *Server) attach(r *Request, list []*entry, out *replies) (*End, error) {
	p, err := s.cache.get(r)
	if err != nil {
		return nil, err
	}
	defer p.users.Add(-1)
	if err := p.CheckOptions(r.Options); err != nil {
		return nil, err
	}
	end := &End{Plugin: p.Name(), Version: p.Manifest().Version.String()}
	for _, e := range list {
		var line *Connection
		if !e.do(func(c *core.Conn) {
			line = e.identify(c)
			line.Error = asError(s.attachTo(e, c, p, r.Options))
		}) {
			continue
		}
		end.count(line)
		out.write(&Reply{Connection: line})
	}
	s.log.Info("attached by the admin socket", "plugin", end.Plugin, "version", end.Version, "connections", end.Connections, "refused", end.Refused)
	return end, nil
}

// count counts what became of one connection.
func (n *End) count(line *Connection) {
	if line.Error != nil {
		n.Refused++
	} else {
		n.Connections++
	}
}

// attachTo attaches a plugin to one connection. It runs on the worker.
func (s *Server) attachTo(e *entry, c *core.Conn, p *loaded, options map[string]string) error {
	if bound(p.Plugin) && c.LocalParameters() != nil {
		return &plugins.AttachError{Plugin: p.Name(), Err: plugins.ErrTooLate}
	}
	e.plug(c)
	p.users.Add(1)
	in, err := p.Attach(c, plugins.AttachOptions{Options: options, Log: pluginflag.Line(s.log), Detached: func(in *plugins.Instance) {
		p.users.Add(-1)
		s.Detached(in)
		pluginflag.LogDetached(s.log, in)
	}})
	if err != nil {
		p.users.Add(-1)
	} else if s.told != nil {
		s.told(in)
	}
	return err
}

// bound reports whether a plugin is a matter of both ends from the handshake on.
func bound(p *plugins.Plugin) bool { return p.Manifest().Owns() || p.Manifest().Negotiate != 0 }

func (s *Server) detach(r *Request, list []*entry, out *replies) (*End, error) {
	end := &End{Plugin: r.Plugin}
	others := make(map[string]bool)
	for _, e := range list {
		var line *Connection
		e.do(func(c *core.Conn) {
			for _, in := range e.attached(c) {
				p := in.Plugin()
				if p.Name() != r.Plugin && p.Name() != standard.Prefix+r.Plugin {
					others[p.Name()] = true
					continue
				}
				line = e.identify(c)
				end.Plugin, end.Version = p.Name(), p.Manifest().Version.String()
				if bound(p) {
					line.Error = errorf(CodeOwned, "plugin %s: the peer may go on to use its frames and transport parameters: it stays until the connection ends", p.Name())
					return
				}
				in.Detach()
				return
			}
		})
		if line != nil {
			end.count(line)
			out.write(&Reply{Connection: line})
		}
	}
	if end.Connections+end.Refused == 0 {
		what := "nothing is"
		if len(others) > 0 {
			what = "attached are " + strings.Join(slices.Sorted(maps.Keys(others)), ", ")
		}
		return nil, errorf(CodeNotAttached, "plugin %.80q is not attached there: %s", r.Plugin, what)
	}
	s.log.Info("detached by the admin socket", "plugin", end.Plugin, "connections", end.Connections, "refused", end.Refused)
	return end, nil
}

func (s *Server) stats(r *Request, list []*entry, out *replies) (*End, error) {
	sum := make(map[site]*Pluglet)
	at := func(k site) *Pluglet {
		if sum[k] == nil {
			sum[k] = &Pluglet{Plugin: k.plugin, Section: k.section}
		}
		return sum[k]
	}
	end := new(End)
	for _, e := range list {
		if !e.do(func(c *core.Conn) {
			for _, in := range e.attached(c) {
				where := in.Plugin().Pluglets()
				for i, st := range in.Stats() {
					l := at(site{in.Plugin().Name(), where[i].Section})
					l.Connections++
					l.Calls += st.Calls
					l.Sampled += st.SampledCalls
					l.SampledTime += int64(st.SampledTime)
				}
			}
		}) {
			continue
		}
		end.Connections++
	}
	for k, n := range s.conns.faultsOf(list, r.Connection == All) {
		at(k).Faults = n
	}
	for _, k := range slices.SortedFunc(maps.Keys(sum), func(a, b site) int {
		return cmp.Or(strings.Compare(a.plugin, b.plugin), strings.Compare(a.section, b.section))
	}) {
		out.write(&Reply{Pluglet: sum[k]})
	}
	return end, nil
}
