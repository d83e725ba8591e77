package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/download"
	"github.com/pquic-go/pquic/cmd/internal/hqrt"
	"github.com/pquic-go/pquic/cmd/internal/reason"
)

// An outcome is what --json reports of a URL.
type outcome struct {
	URL         string  `json:"url"`
	File        string  `json:"file,omitempty"`
	Status      int     `json:"status,omitempty"`
	Bytes       int64   `json:"bytes"`                  // fetched now
	ResumedFrom int64   `json:"resumed_from,omitempty"` // there before
	Seconds     float64 `json:"seconds"`
	GoodputMbps float64 `json:"goodput_mbps"`
	SHA256      string  `json:"sha256,omitempty"`
	Part        string  `json:"part,omitempty"` // holds what came of a failed download
	Error       string  `json:"error,omitempty"`

	*negotiated
}

// negotiated is what the connection came to.
type negotiated struct {
	Remote         string  `json:"remote"`
	Protocol       string  `json:"protocol"`
	QUICVersion    string  `json:"quic_version"`
	TLSCipher      string  `json:"tls_cipher"`
	TLSCurve       string  `json:"tls_curve,omitempty"`
	SessionResumed bool    `json:"session_resumed"`
	EarlyData      string  `json:"early_data"` // none, accepted, rejected
	ConnectMS      float64 `json:"connect_ms"` // until the first request could be sent
	RTTms          float64 `json:"rtt_ms"`
}

var earlyDataStates = [...]string{"none", "offered", "accepted", "rejected"}

// outcome describes what a download came to.
func (c *client) outcome(t target, res *download.Result, took time.Duration) *outcome {
	out := &outcome{
		URL: t.text, File: t.file, Bytes: res.Bytes, ResumedFrom: res.Resumed, Part: res.Part,
		Seconds: took.Seconds(), GoodputMbps: float64(res.Bytes) * 8 / 1e6 / max(took.Seconds(), 1e-9),
	}
	u := t.url
	proto := ""
	if res.Response != nil {
		out.Status, proto = res.Response.StatusCode, res.Response.Proto
		u = res.Response.Request.URL // after redirections
	}
	if l := c.conn.link(hqrt.Authority(u)); l != nil {
		out.negotiated = l.negotiated(proto, c.o.earlyData)
	}
	return out
}

func (l *link) negotiated(proto string, early bool) *negotiated {
	stats, state := l.conn.Stats(), l.conn.ConnectionState()
	n := &negotiated{
		Remote: l.conn.RemoteAddr().String(), Protocol: proto, QUICVersion: versionName(stats.Version),
		TLSCipher: tls.CipherSuiteName(state.CipherSuite), SessionResumed: state.DidResume, EarlyData: earlyDataStates[0],
		ConnectMS: milliseconds(l.took), RTTms: milliseconds(stats.Path.RTT.SmoothedRTT),
	}
	if state.CurveID != 0 {
		n.TLSCurve = state.CurveID.String()
	}
	// A handshake with a session always offers 0-RTT, whether it is used or not.
	if i := int(stats.EarlyDataState); i < len(earlyDataStates) && early {
		n.EarlyData = earlyDataStates[i]
	}
	return n
}

// versionName is how people call a version of QUIC.
func versionName(v uint32) string {
	switch v {
	case 1:
		return "1"
	case 0x6b3343cf: // https://www.rfc-editor.org/rfc/rfc9369#section-3.1
		return "2"
	}
	return fmt.Sprintf("0x%08x", v)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// line is the summary for people.
func (o *outcome) line() string {
	var b strings.Builder
	b.WriteString(o.URL)
	if o.File != "" {
		b.WriteString(" -> " + o.File)
	}
	fmt.Fprintf(&b, ": %s in %.3f s, %s", cliutil.ShortSize(uint64(o.Bytes)), o.Seconds, cliutil.ShortRate(o.GoodputMbps*1e6))
	if o.ResumedFrom > 0 {
		fmt.Fprintf(&b, ", after %s of an earlier attempt", cliutil.ShortSize(uint64(o.ResumedFrom)))
	}
	if n := o.negotiated; n != nil {
		fmt.Fprintf(&b, "; %s, QUIC v%s, %s", n.Protocol, n.QUICVersion, n.TLSCipher)
		if n.TLSCurve != "" {
			b.WriteString(", " + n.TLSCurve)
		}
		if n.SessionResumed {
			b.WriteString(", session resumed")
		}
		if n.EarlyData != earlyDataStates[0] {
			b.WriteString(", 0-RTT " + n.EarlyData)
		}
		fmt.Fprintf(&b, ", RTT %.2f ms", n.RTTms)
	}
	if o.SHA256 != "" {
		b.WriteString("; sha256 " + o.SHA256)
	}
	return b.String()
}

// A reporter tells the user what happens.
type reporter struct {
	o              *options
	stdout, stderr io.Writer

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // nil without a terminal
	total int64                    // of all files whose length is known
	files int
	done_ int
	kept  int
	names []string      // of parts that were kept
	told  map[error]int // connection errors already told, and how often they came
}

func newReporter(o *options, files int, stdout, stderr io.Writer) *reporter {
	r := &reporter{o: o, stdout: stdout, stderr: stderr, files: files, told: make(map[error]int)}
	if o.output == toStdout {
		r.stdout = io.Discard // the files are there
		if o.json {
			r.stdout = stderr
		}
	}
	if f, ok := stderr.(*os.File); ok && !o.quiet && !o.json && !o.quic.Verbose && term.IsTerminal(int(f.Fd())) {
		width := progressbar.OptionSetWidth(30)
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = progressbar.OptionFullWidth()
		}
		r.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(stderr), progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true), progressbar.OptionShowCount(),
			width, progressbar.OptionThrottle(65*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionUseANSICodes(true))
	}
	return r
}

// begin is told that a file comes.
func (r *reporter) begin(have, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar == nil || total < 0 {
		return
	}
	r.total += total
	r.bar.ChangeMax64(r.total)
	_ = r.bar.Add64(have) // the bar is only a help
}

// progress is told that bytes came.
func (r *reporter) progress(n int) {
	if r.bar != nil {
		_ = r.bar.Add(n) // the bar is only a help
	}
}

// done reports a target.
func (r *reporter) done(out *outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done_++
	if err != nil {
		out.Error = cliutil.OneLine(err)
	}
	if out.Part != "" {
		r.kept++
		r.names = append(r.names, out.Part)
	}
	if r.bar != nil {
		_ = r.bar.Clear() // the bar is only a help
	}
	switch {
	case r.o.json:
		data, jerr := json.Marshal(out)
		if jerr != nil {
			data = []byte(fmt.Sprintf(`{"url":%q,"error":%q}`, out.URL, jerr))
		}
		fmt.Fprintf(r.stdout, "%s\n", data)
	case err == nil && !r.o.quiet:
		fmt.Fprintln(r.stdout, out.line())
	}
	if err != nil {
		r.fail(out, err)
	}
	if r.bar != nil {
		if r.files > 1 {
			r.bar.Describe(fmt.Sprintf("%d of %d files", r.done_, r.files))
		}
		_ = r.bar.RenderBlank() // the bar is only a help
	}
}

// fail tells why a URL failed, unless that is the program's last word anyway.
func (r *reporter) fail(out *outcome, err error) {
	if r.files == 1 || errors.Is(err, errInterrupted) {
		return
	}
	// All URLs of a server that cannot be reached have the same reason.
	var connect *reason.ConnectError
	if errors.As(err, &connect) {
		if r.told[connect]++; r.told[connect] > 1 {
			return
		}
	}
	fmt.Fprintf(r.stderr, "pquic-client: %s: %s\n", out.URL, out.Error)
	if out.Part != "" {
		fmt.Fprintf(r.stderr, "pquic-client: what came of it is in %s; the same command goes on there\n", out.Part)
	}
}

// close removes the bar.
func (r *reporter) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar != nil {
		_ = r.bar.Clear() // the bar is only a help
	}
	for _, n := range r.told {
		if n > 1 {
			fmt.Fprintf(r.stderr, "pquic-client: the same for %d more URLs of that server\n", n-1)
		}
	}
}

// keptNames lists the parts that are left, the first of many.
func (r *reporter) keptNames() string {
	const most = 3
	if len(r.names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(r.names[:most], ", "), len(r.names)-most)
	}
	return strings.Join(r.names, ", ")
}
