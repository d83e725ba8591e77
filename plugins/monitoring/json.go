package monitoring

import (
	"bufio"
	"encoding/json"
	"io"
	"net/netip"
	"time"
)

// Write writes records as JSON lines.
func Write(w io.Writer, records ...*Record) error {
	e := json.NewEncoder(w)
	for _, r := range records {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// JSON is a sink that writes a line of JSON per flow record.
type JSON struct {
	w       io.WriteCloser
	buf     *bufio.Writer
	encoder *json.Encoder
}

var _ Sink = (*JSON)(nil)

// NewJSON returns a sink that writes to w, which it closes in the end.
func NewJSON(w io.WriteCloser) *JSON {
	buf := bufio.NewWriterSize(w, 64<<10)
	return &JSON{w: w, buf: buf, encoder: json.NewEncoder(buf)}
}

// A line is a flow record with its connection's names.
type line struct {
	Time       time.Time      `json:"time"`
	Flow       uint64         `json:"flow"`
	Connection string         `json:"connection"`
	Local      netip.AddrPort `json:"local"`
	Remote     netip.AddrPort `json:"remote"`
	*Record
}

// Flow writes a line, to memory at first.
func (j *JSON) Flow(f *Flow) error {
	return j.encoder.Encode(line{f.Time(), f.ID, f.Connection, f.Local, f.Remote, f.Record})
}

// Flush writes what is in memory.
func (j *JSON) Flush() error { return j.buf.Flush() }

// Close closes what the lines went to.
func (j *JSON) Close() error { return j.w.Close() }
