package monitoring

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/plugins"
)

// A Flow is a flow record with what the host knows beside it.
type Flow struct {
	ID            uint64 // numbers the connections of a Collector from 1
	Connection    string // the original Destination Connection ID, hexadecimal
	Local, Remote netip.AddrPort
	*Record
	Previous *Record // the flow's record before this one, nil for the first
}

// Time is when the record was made.
func (f *Flow) Time() time.Time { return mono.Time(f.Now).Time() }

// Began is when the connection began.
func (f *Flow) Began() time.Time { return mono.Time(f.Record.Start).Time() }

// Delta returns a record whose counters, RTT histogram and sums tell what
// happened since the previous record. All else is as in the record.
func (f *Flow) Delta() Record {
	d := *f.Record
	if f.Previous == nil {
		return d
	}
	before := f.Previous.counters()
	for i, p := range d.counters() {
		*p -= min(*p, *before[i])
	}
	for i, n := range f.Previous.RTT {
		d.RTT[i] -= min(d.RTT[i], n)
	}
	d.RTTSum -= f.Previous.RTTSum
	d.StreamTimeSum -= f.Previous.StreamTimeSum
	d.UnknownParameters -= min(d.UnknownParameters, f.Previous.UnknownParameters)
	return d
}

// Ended reports whether this is the flow's last record.
func (f *Flow) Ended() bool { return f.State == Finished || f.State == Broken }

// A Sink takes flow records somewhere. A Collector calls it from one goroutine.
type Sink interface {
	// Flow takes a record, which it may keep and must not change.
	Flow(f *Flow) error
	// Flush is called when no more records wait.
	Flush() error
	// Close ends the sink, after a last Flush.
	Close() error
}

// maxFlows bounds the records that wait for the sinks.
const maxFlows = 4096

// A Collector takes the flow records of any number of connections to sinks. The
// connections hand their records over without waiting; one goroutine serves the
// sinks.
type Collector struct {
	sinks   []Sink
	failed  func(error)
	flows   chan *Flow
	ids     atomic.Uint64
	dropped atomic.Uint64

	closing sync.Once
	stop    chan struct{} // closed by Close
	ended   chan struct{} // closed when the sinks are
}

// NewCollector returns a collector that serves sinks until Close. failed is told
// of their errors, the same one of a sink in a row only once.
func NewCollector(failed func(error), sinks ...Sink) *Collector {
	c := &Collector{sinks: sinks, failed: failed, flows: make(chan *Flow, maxFlows), stop: make(chan struct{}), ended: make(chan struct{})}
	go c.serve()
	return c
}

// Watch takes the records of a plugin that has just been attached. It is called
// by the connection's owner.
func (c *Collector) Watch(in *plugins.Instance) {
	conn := in.Conn()
	w := &watch{c: c, in: in, id: c.ids.Add(1), name: conn.ODCID().String()}
	in.OnMessage(w.drain)
	view := conn.Stats().ConnView
	now := time.Duration(conn.Now())
	w.hand(&Record{State: New, Server: conn.IsServer(), Version: view.Version, Now: now, Start: time.Duration(view.StartTime)})
	w.drain()
}

// Dropped returns how many records found no room because the sinks were slow.
// What they counted is in the flow's next one.
func (c *Collector) Dropped() uint64 { return c.dropped.Load() }

// Close takes what waits to the sinks, closes them and returns. Records made
// afterwards are lost.
func (c *Collector) Close() {
	c.closing.Do(func() { close(c.stop) })
	<-c.ended
}

func (c *Collector) serve() {
	defer close(c.ended)
	told := make([]string, len(c.sinks))
	each := func(f func(Sink) error) {
		for i, s := range c.sinks {
			if err := f(s); err != nil && err.Error() != told[i] {
				told[i] = err.Error()
				c.failed(err)
			}
		}
	}
	for {
		select {
		case f := <-c.flows:
			each(func(s Sink) error { return s.Flow(f) })
			continue
		default:
		}
		each(Sink.Flush)
		select {
		case f := <-c.flows:
			each(func(s Sink) error { return s.Flow(f) })
		case <-c.stop:
			c.end(each)
			return
		}
	}
}

// end serves what still waits and closes the sinks.
func (c *Collector) end(each func(func(Sink) error)) {
	for n := len(c.flows); n > 0; n-- {
		f := <-c.flows
		each(func(s Sink) error { return s.Flow(f) })
	}
	each(Sink.Flush)
	each(Sink.Close)
}

// A watch is one connection's side of a collector. It belongs to the
// connection's owner.
type watch struct {
	c    *Collector
	in   *plugins.Instance
	id   uint64
	name string
	last *Record // that the collector took
}

// drain hands over what the plugin has queued. It runs within the operation that
// queued it, once per record.
func (w *watch) drain() {
	for _, m := range w.in.Messages() {
		if r, err := Parse(m); err == nil {
			w.hand(r)
		} else {
			w.c.dropped.Add(1)
		}
	}
}

func (w *watch) hand(r *Record) {
	conn := w.in.Conn()
	f := &Flow{ID: w.id, Connection: w.name, Local: conn.LocalAddr(), Remote: conn.RemoteAddr(), Record: r, Previous: w.last}
	select {
	case w.c.flows <- f:
		w.last = r
	default:
		w.c.dropped.Add(1)
	}
}
