package main

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/cputime"
	"github.com/pquic-go/pquic/cmd/internal/netaddr"
	"github.com/pquic-go/pquic/hoststack"
)

// An adminServer answers operators and monitoring.
type adminServer struct {
	s       *server
	started time.Time
	l       net.Listener
	http    http.Server
}

func (s *server) newAdmin(addr string) (*adminServer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, netaddr.Explain("--metrics", "TCP", addr, err)
	}
	a := &adminServer{s: s, started: time.Now(), l: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /{$}", a.status)
	a.handleFlows(mux)
	a.http = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return a, nil
}

func (a *adminServer) addr() string { return a.l.Addr().String() }

func (a *adminServer) serve(failed chan<- error) {
	if err := a.http.Serve(a.l); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("the metrics server: %w", err)
	}
}

func (a *adminServer) close() {
	_ = a.http.Close()
	_ = a.l.Close() // in case serve has not begun
}

// health tells load balancers whether to send more.
func (a *adminServer) health(w http.ResponseWriter, _ *http.Request) {
	if a.s.draining.Err() != nil {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (a *adminServer) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	var b strings.Builder
	stats := a.s.listener.Stats()
	_ = stats.WritePrometheus(&b) // a strings.Builder takes everything
	_ = a.s.setup.Flows.WritePrometheus(&b)
	requests, conns := a.s.counts.snapshot()
	p := prometheus{&b}
	p.family("pquic_server_info", "gauge", "What serves.")
	p.value("pquic_server_info", 1, "version", cliutil.Version(), "datapath", a.s.listener.Features().Name)
	p.family("pquic_server_connections_total", "counter", "Connections by application protocol.")
	for _, c := range conns {
		p.value("pquic_server_connections_total", float64(c.n), "alpn", c.key)
	}
	p.family("pquic_server_requests_total", "counter", "Requests answered.")
	for _, r := range requests {
		p.value("pquic_server_requests_total", float64(r.n), "proto", r.key.proto, "status", strconv.Itoa(r.key.status))
	}
	p.single("pquic_server_requests_in_flight", "gauge", "Requests being answered.", float64(a.s.counts.inFlight.Load()))
	p.single("pquic_server_response_bytes_total", "counter", "Bytes of content sent in responses.", float64(a.s.counts.bytes.Load()))
	ps := a.s.perf.Stats()
	p.single("pquic_server_perf_requests_total", "counter", "Requests of the perf protocol answered.", float64(ps.Requests))
	p.single("pquic_server_draining", "gauge", "1 while the server shuts down.", boolean(a.s.draining.Err() != nil))
	p.single("process_start_time_seconds", "gauge", "Start of the process, seconds since 1970.", float64(a.started.UnixMilli())/1e3)
	p.single("process_cpu_seconds_total", "counter", "User and system time used.", cputime.Used().Seconds())
	p.single("go_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
	p.single("go_heap_bytes", "gauge", "Bytes of live and not yet collected objects.", float64(heapBytes()))
	_, _ = io.WriteString(w, b.String()) // whoever asked may be gone
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// prometheus writes figures in Prometheus' text format.
type prometheus struct{ w io.Writer }

func (p prometheus) family(name, kind, help string) {
	fmt.Fprintf(p.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// value writes one figure; labels are names and values in turn.
func (p prometheus) value(name string, v float64, labels ...string) {
	var b strings.Builder
	for i := 0; i+1 < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		// Go's quoting escapes what the format wants escaped: backslash, quote and newline.
		fmt.Fprintf(&b, "%s=%q", labels[i], labels[i+1])
	}
	if b.Len() > 0 {
		name += "{" + b.String() + "}"
	}
	fmt.Fprintf(p.w, "%s %s\n", name, strconv.FormatFloat(v, 'g', -1, 64))
}

func (p prometheus) single(name, kind, help string, v float64) {
	p.family(name, kind, help)
	p.value(name, v)
}

//go:embed status.html
var statusPage string

var statusTemplate = template.Must(template.New("status").Parse(statusPage))

// A row is a line of the status page's tables.
type row struct{ Name, Value string }

// status is a page for people, which reloads itself.
func (a *adminServer) status(w http.ResponseWriter, _ *http.Request) {
	s := a.s
	stats := s.listener.Stats()
	requests, conns := s.counts.snapshot()
	features := s.listener.Features()
	steering, _ := s.listener.Steering()
	page := struct {
		Version, State string
		Tables         []table
	}{Version: cliutil.Version(), State: "serving"}
	if s.draining.Err() != nil {
		page.State = "draining"
	}
	general := table{Title: "Server", Rows: []row{
		{"address", s.listener.Addr().String()},
		{"folder", s.o.www},
		{"protocols", strings.Join(s.o.alpn, ", ")},
		{"running since", a.started.Format(time.DateTime) + " (" + time.Since(a.started).Round(time.Second).String() + ")"},
		{"workers", strconv.Itoa(s.listener.Workers())},
		{"datapath", datapath(features) + ", steering by " + fmt.Sprint(steering)},
		{"processor time", cputime.Used().Round(time.Millisecond).String()},
		{"heap", cliutil.ShortSize(heapBytes())},
	}}
	http := table{Title: "Requests", Rows: []row{{"in flight", strconv.FormatInt(s.counts.inFlight.Load(), 10)}, {"content sent", cliutil.ShortSize(s.counts.bytes.Load())}}}
	for _, c := range conns {
		http.Rows = append(http.Rows, row{"connections, " + c.key, grouped(c.n)})
	}
	for _, r := range requests {
		http.Rows = append(http.Rows, row{fmt.Sprintf("%s, status %d", r.key.proto, r.key.status), grouped(r.n)})
	}
	quic := table{Title: "QUIC"}
	for _, m := range stats.Metrics() {
		quic.Rows = append(quic.Rows, row{strings.TrimSuffix(m.Help, "."), grouped(m.Value)})
	}
	page.Tables = []table{general, http, quic}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = statusTemplate.Execute(w, page) // whoever asked may be gone
}

// datapath says what the sockets can do.
func datapath(f hoststack.Features) string {
	text := f.Name
	for _, x := range []struct {
		name string
		can  bool
	}{{"GSO", f.GSO}, {"GRO", f.GRO}, {"ECN", f.ECN}} {
		if x.can {
			text += ", " + x.name
		} else {
			text += ", no " + x.name
		}
	}
	return text
}

// grouped writes a number with a comma every three digits.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// A table is a part of the status page.
type table struct {
	Title string
	Rows  []row
}
