package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
)

// An entry is a connection that has not ended.
type entry struct {
	number uint64
	conn   *hoststack.Conn

	// plugged: it has or had a plugin; its worker's. One that never had any is
	// not asked, since the answer would give it a table of operations of its own.
	plugged bool

	faults map[site]uint64 // guarded by the registry's mutex
}

// A site is a pluglet of a plugin.
type site struct{ plugin, section string }

// maxSites bounds how many pluglets faults are counted of.
const maxSites = 4096

// A registry knows the connections.
type registry struct {
	mu      sync.Mutex
	last    uint64 // number given out
	entries map[*hoststack.Conn]*entry
	faults  map[site]uint64 // on all connections, those that have ended too
}

// add takes a connection in, until it ends. Its worker calls it.
func (r *registry) add(c *hoststack.Conn) {
	r.mu.Lock()
	r.last++
	r.entries[c] = &entry{number: r.last, conn: c}
	r.mu.Unlock()
	context.AfterFunc(c.Context(), func() {
		r.mu.Lock()
		delete(r.entries, c)
		r.mu.Unlock()
	})
}

// of returns the entry of an engine, nil if there is none.
func (r *registry) of(c *core.Conn) *entry {
	conn, _ := c.User.(*hoststack.Conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[conn]
}

// plug notes that a connection has a plugin, and lets the time of some calls be
// taken. It runs on the worker.
func (e *entry) plug(c *core.Conn) {
	e.plugged = true
	if t := c.Operations(); t.Clock == nil {
		t.Clock = nanoseconds
	}
}

var start = time.Now()

// nanoseconds is a clock that never goes back.
func nanoseconds() int64 { return int64(time.Since(start)) }

// fault counts a pluglet's fault.
func (r *registry) fault(c *core.Conn, s site) {
	e := r.of(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.faults[s]; ok || len(r.faults) < maxSites {
		r.faults[s]++
	}
	if e == nil {
		return
	}
	if e.faults == nil {
		e.faults = make(map[site]uint64)
	}
	e.faults[s]++
}

// failed returns the pluglet that ended a plugin by its fault.
func failed(in *plugins.Instance) (site, bool) {
	f := in.Fault()
	if f == nil {
		return site{}, false
	}
	s := site{in.Plugin().Name(), f.Anchor.String() + "/" + f.Key.String()}
	list := in.Plugin().Pluglets()
	for i, st := range in.Stats() {
		if st.Key == f.Key && st.Anchor == f.Anchor && i < len(list) {
			s.section = list[i].Section
		}
	}
	return s, true
}

// faultsOf returns the faults on the connections selected.
func (r *registry) faultsOf(list []*entry, all bool) map[site]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := make(map[site]uint64)
	add := func(m map[site]uint64) {
		for s, n := range m {
			sum[s] += n
		}
	}
	if all {
		add(r.faults)
		return sum
	}
	for _, e := range list {
		add(e.faults)
	}
	return sum
}

// list returns the connections by age, the oldest first.
func (r *registry) list() []*entry {
	r.mu.Lock()
	list := make([]*entry, 0, len(r.entries))
	for _, e := range r.entries {
		list = append(list, e)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.number, b.number) })
	return list
}

// minIDDigits is the length of the shortest connection ID that a client may
// choose, in hexadecimal. What is shorter is a number.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.2
const minIDDigits = 16

// find returns the connections that a user names.
func (r *registry) find(name string) ([]*entry, error) {
	list := r.list()
	if name == All {
		return list, nil
	}
	if n, err := strconv.ParseUint(name, 10, 64); err == nil && len(name) < minIDDigits {
		if i := slices.IndexFunc(list, func(e *entry) bool { return e.number == n }); i >= 0 {
			return list[i : i+1], nil
		}
		return nil, errorf(CodeConnection, "there is no connection %d, or no longer: list shows those there are", n)
	}
	id := strings.ToLower(name)
	if len(id) < minIDDigits || len(id) > 40 || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, errorf(CodeConnection, "connection %.50q: want a number or an ID as list shows them, or all", name)
	}
	// Clients choose these IDs: two connections may have the same.
	var same []*entry
	for _, e := range list {
		_ = e.conn.Do(func(c *core.Conn) { // one that has ended does not match
			if c.ODCID().String() == id {
				same = append(same, e)
			}
		})
	}
	switch len(same) {
	case 0:
		return nil, errorf(CodeConnection, "there is no connection %s, or no longer: list shows those there are", id)
	case 1:
		return same, nil
	}
	return nil, errorf(CodeConnection, "%d connections have the ID %s: say which by its number, %d or another that list shows", len(same), id, same[0].number)
}
