package monitoring

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"time"
)

// The format of messages.
// https://www.rfc-editor.org/rfc/rfc7011#section-3
const (
	ipfixVersion      = 10
	messageHeader     = 16
	setHeader         = 4
	templateSet       = 2
	templateIPv4      = 256
	templateIPv6      = 257
	ownedElement      = 1 << 15 // its enterprise number follows
	observationDomain = 0       // the whole process
)

// maxIPFIX bounds a message: what an IPv6 path of the least MTU carries as UDP
// payload. A collector is near enough for that.
//
// "The maximum size of exported messages MUST be configured such that the total
// packet size does not exceed the PMTU. If the PMTU is unknown, a maximum packet
// size of 512 octets SHOULD be used."
// https://www.rfc-editor.org/rfc/rfc7011#section-10.3.3
const maxIPFIX = 1280 - 40 - 8

// Templates are sent again because UDP may have lost them and collectors forget
// them after a while.
// https://www.rfc-editor.org/rfc/rfc7011#section-8.4
const (
	templateMessages = 64               // at least once in so many messages
	templateTime     = 30 * time.Second // and at least so often, as long as there are records
)

// A template is the form of data records.
type template struct {
	id     uint16
	fields []field
}

var templates = [...]template{
	{templateIPv4, slices.Concat(sourceAndDestination(false), ianaFields, quicFields)},
	{templateIPv6, slices.Concat(sourceAndDestination(true), ianaFields, quicFields)},
}

// size is that of a data record.
func (t *template) size() (n int) {
	for _, f := range t.fields {
		n += int(f.size)
	}
	return n
}

// append writes the template record.
func (t *template) append(b []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(be.AppendUint16(b, t.id), uint16(len(t.fields)))
	for _, f := range t.fields {
		if f.enterprise == iana {
			b = be.AppendUint16(be.AppendUint16(b, f.id), f.size)
			continue
		}
		b = be.AppendUint16(be.AppendUint16(b, f.id|ownedElement), f.size)
		b = be.AppendUint32(b, f.enterprise)
	}
	return b
}

// IPFIX is a sink that exports flow records, as biflows, in messages of RFC 7011.
type IPFIX struct {
	w   io.WriteCloser // a Write is a message
	now func() time.Time

	msg     []byte // the message being made, empty if none is
	set     int    // where its last set begins
	id      uint16 // that set's
	records uint32 // data records in it

	sequence  uint32    // data records in all messages before
	announced time.Time // when the templates were sent last
	since     int       // messages since
}

var _ Sink = (*IPFIX)(nil)

// DialIPFIX returns a sink that sends to a collector's UDP port. addr is
// HOST:PORT; without HOST it is this one.
func DialIPFIX(addr string) (*IPFIX, error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return nil, err
	}
	return NewIPFIX(c, time.Now), nil
}

// NewIPFIX returns a sink that writes each message at once to w, which it closes
// in the end. now is the export time's clock.
func NewIPFIX(w io.WriteCloser, now func() time.Time) *IPFIX {
	return &IPFIX{w: w, now: now, msg: make([]byte, 0, maxIPFIX), since: templateMessages}
}

// Flow adds a data record to the message being made, and sends the message before
// if there is no room.
func (x *IPFIX) Flow(f *Flow) error {
	v := newValues(f)
	t := &templates[0]
	if !v.ipv4() {
		t = &templates[1]
	}
	var err error
	if len(x.msg)+setHeader+t.size() > maxIPFIX {
		err = x.Flush()
	}
	if len(x.msg) == 0 {
		x.begin()
	}
	if x.id != t.id {
		x.beginSet(t.id)
	}
	for _, e := range t.fields {
		x.msg = e.put(x.msg, v)
	}
	x.records++
	return err
}

// begin starts a message, with the templates if it is time.
func (x *IPFIX) begin() {
	now, be := x.now(), binary.BigEndian
	b := be.AppendUint16(x.msg[:0], ipfixVersion)
	b = be.AppendUint16(b, 0) // the length, see Flush
	b = be.AppendUint32(b, uint32(now.Unix()))
	b = be.AppendUint32(b, x.sequence)
	x.msg = be.AppendUint32(b, observationDomain)
	x.id, x.records = 0, 0
	if x.since++; x.since <= templateMessages && now.Sub(x.announced) < templateTime {
		return
	}
	x.since, x.announced = 1, now
	x.beginSet(templateSet)
	for i := range templates {
		x.msg = templates[i].append(x.msg)
	}
}

// beginSet starts a set and ends the one before.
func (x *IPFIX) beginSet(id uint16) {
	x.endSet()
	x.set, x.id = len(x.msg), id
	x.msg = binary.BigEndian.AppendUint16(x.msg, id)
	x.msg = binary.BigEndian.AppendUint16(x.msg, 0) // the length, see endSet
}

func (x *IPFIX) endSet() {
	if x.id != 0 {
		binary.BigEndian.PutUint16(x.msg[x.set+2:], uint16(len(x.msg)-x.set))
	}
}

// Flush sends the message being made. The records of one that the system does not
// send count as sent: the collector sees the gap.
func (x *IPFIX) Flush() error {
	if len(x.msg) == 0 {
		return nil
	}
	x.endSet()
	binary.BigEndian.PutUint16(x.msg[2:], uint16(len(x.msg)))
	_, err := x.w.Write(x.msg)
	x.sequence += x.records
	x.msg = x.msg[:0]
	return err
}

// Close closes the socket. Over UDP templates are not withdrawn.
// https://www.rfc-editor.org/rfc/rfc7011#section-8.4
func (x *IPFIX) Close() error { return x.w.Close() }
