package qlog

import (
	"io"
	"strconv"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// The identifiers of what a Trace contains. Drafts of the event schema are
// identified by their number.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-quic-events-13#section-2.1
const (
	FileSchema          = "urn:ietf:params:qlog:file:sequential"
	SerializationFormat = "application/qlog+json-seq"

	// QUICSchema is the schema of the events in the namespace "quic".
	QUICSchema = "urn:ietf:params:qlog:events:quic-13"
	// ExtensionSchema is what this package adds to the namespace "quic".
	ExtensionSchema = "https://github.com/pquic-go/pquic/112026/qlog/quic#pquic"
	// PluginSchema is the schema of the events in the namespace "pquic".
	PluginSchema = "https://github.com/pquic-go/pquic/112026/qlog/pquic"
	// LogLevelSchema is the schema of the events in the namespace "loglevel".
	LogLevelSchema = "urn:ietf:params:qlog:events:loglevel"
)

const (
	recordSeparator = 0x1e // https://www.rfc-editor.org/rfc/rfc7464#section-2.2
	initialBuffer   = 1 << 10
	maxKeptBuffer   = 64 << 10 // a larger record buffer is not kept for the next one
)

// Info describes a Trace.
type Info struct {
	ODCID       wire.ConnID // the client's first Destination Connection ID, which names the connection at both ends
	Server      bool        // the events are those a server saw
	Start       mono.Time   // what the times of events are relative to
	Title       string      // optional
	Description string      // optional
	Name        string      // of the vantage point: a host or program; optional
	Dialect     Dialect
	Schemas     []string // URIs of event schemas that Generic is used for; optional
}

// A Trace is the log of one connection. The zero Trace and a nil one log
// nothing. It is not safe for concurrent use.
type Trace struct {
	w       io.Writer // nil once closed or failed
	err     error
	enc     encoder
	start   mono.Time
	dialect Dialect

	path    uint64 // of the next event
	hasPath bool

	// ACK Delay is in units that each side declares for its own ACK frames.
	localAckDelayExponent  uint8
	remoteAckDelayExponent uint8

	metrics     metrics             // of path 0
	pathMetrics map[uint64]*metrics // of others

	frames map[wire.FrameType]frameDecoder
}

// New starts a trace and writes its header record to w. All later records go
// there too, each in one Write; w should buffer. If w is nil, so is the trace.
func New(w io.Writer, info Info) *Trace {
	if w == nil {
		return nil
	}
	t := &Trace{
		w:       w,
		start:   info.Start,
		dialect: min(info.Dialect, Qvis),
		enc:     encoder{b: make([]byte, 0, initialBuffer)},

		localAckDelayExponent:  wire.DefaultAckDelayExponent,
		remoteAckDelayExponent: wire.DefaultAckDelayExponent,
	}
	t.writeHeader(&info)
	return t
}

func (t *Trace) writeHeader(info *Info) {
	e := &t.enc
	e.b = append(e.b[:0], recordSeparator)
	e.object("")
	// "the "file_schema" and "serialization_format" fields and their values
	// SHOULD be in the first 256 characters/bytes of the resulting log file."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14#section-3
	e.string("file_schema", FileSchema)
	e.string("serialization_format", SerializationFormat)
	e.string("qlog_version", "0.3")     // for qvis, see the package comment
	e.string("qlog_format", "JSON-SEQ") // for qvis
	e.optionalString("title", info.Title)
	e.optionalString("description", info.Description)
	e.object("trace")
	e.object("vantage_point")
	e.optionalString("name", info.Name)
	e.string("type", choose(info.Server, "server", "client"))
	e.endObject()
	e.object("common_fields")
	e.connID("group_id", info.ODCID)
	e.string("time_format", "relative_to_epoch")
	e.object("reference_time")
	// "When using the "monotonic" clock type, the epoch field MUST have the value
	// "unknown"."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14#section-7.1
	e.string("clock_type", "monotonic")
	e.string("epoch", "unknown")
	e.key("wall_clock_time")
	e.b = info.Start.Time().AppendFormat(append(e.b, '"'), "2006-01-02T15:04:05.000Z")
	e.b = append(e.b, '"', ',')
	e.endObject()
	e.endObject()
	e.array("event_schemas")
	if t.dialect == Drafts { // the events of qlog 0.3 had no such identifier
		e.stringValue(QUICSchema)
		e.stringValue(ExtensionSchema)
	}
	e.stringValue(PluginSchema)
	e.stringValue(LogLevelSchema)
	for _, s := range info.Schemas {
		e.stringValue(s)
	}
	e.endArray()
	e.endObject()
	e.endObject()
	t.flush()
}

// Close ends the trace: later events are ignored. If the writer is an
// io.Closer, it is closed.
func (t *Trace) Close(now mono.Time) {
	if t == nil || t.w == nil {
		return
	}
	w := t.w
	t.stop(nil)
	if c, ok := w.(io.Closer); ok {
		t.err = c.Close()
	}
}

// Err returns the error that ended the trace early, or that of closing it.
func (t *Trace) Err() error {
	if t == nil {
		return nil
	}
	return t.err
}

// stop makes all later events no-ops and lets go of the memory.
func (t *Trace) stop(err error) {
	t.w = nil
	t.err = err
	t.enc.b = nil
	t.pathMetrics = nil
}

// OnPath makes the next event, and only that, one of the given path; it returns
// t, so that it reads
//
//	c.log.OnPath(2).PacketSent(…)
//
// The event's tuple then is the path's number in decimal. Events of path 0 have
// none: they are those of the tuple "", on which the handshake ran.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14#section-7.2
func (t *Trace) OnPath(path uint64) *Trace {
	if t != nil {
		t.path, t.hasPath = path, path != 0
	}
	return t
}

// begin starts the record of an event up to its data. It reports false if
// nothing is to be logged.
func (t *Trace) begin(now mono.Time, ev event) bool {
	if t == nil || t.w == nil {
		return false
	}
	t.beginRecord(now)
	t.enc.b = append(t.enc.b, eventNames[ev][t.dialect]...)
	t.beginData()
	return true
}

// beginRecord starts a record up to and including the opening quote of its name.
func (t *Trace) beginRecord(now mono.Time) {
	b := append(t.enc.b[:0], recordSeparator)
	b = append(b, `{"time":`...)
	b = appendMilliseconds(b, now.Sub(t.start))
	t.enc.b = append(b, `,"name":"`...)
}

// beginData closes the name and opens the data.
func (t *Trace) beginData() {
	b := append(t.enc.b, '"', ',')
	if t.hasPath {
		b = append(b, `"tuple":"`...)
		b = strconv.AppendUint(b, t.path, 10)
		b = append(b, '"', ',')
		t.hasPath = false
	}
	t.enc.b = append(b, `"data":{`...)
}

// end closes the record and writes it.
func (t *Trace) end() {
	t.enc.endObject()
	t.enc.endObject()
	t.flush()
}

// flush writes the record. A trace whose writer fails once is over: what would
// follow is not readable anyway.
func (t *Trace) flush() {
	t.enc.trimComma()
	t.enc.b = append(t.enc.b, '\n')
	_, err := t.w.Write(t.enc.b)
	if err != nil {
		t.stop(err)
		return
	}
	if cap(t.enc.b) > maxKeptBuffer {
		t.enc.b = make([]byte, 0, initialBuffer)
	}
}

func (e *encoder) optionalString(k, v string) {
	if v != "" {
		e.string(k, v)
	}
}

func (e *encoder) connID(k string, c wire.ConnID) {
	e.key(k)
	e.connIDValue(c)
}

func (e *encoder) connIDValue(c wire.ConnID) {
	e.b = append(e.b, '"')
	for i := range c.Len() {
		e.b = append(e.b, hexDigits[c.At(i)>>4], hexDigits[c.At(i)&15])
	}
	e.b = append(e.b, '"', ',')
}

// oldNew writes the two states of an update; an empty old one is unknown.
func (e *encoder) oldNew(old, state string) {
	e.optionalString("old", old)
	e.string("new", state)
}

func choose(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

// wholeMilliseconds is d as the schema's integers of milliseconds: rounded up,
// never negative.
func wholeMilliseconds(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return (uint64(d) + uint64(time.Millisecond) - 1) / uint64(time.Millisecond)
}
