package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/bench/linkemu"
	"github.com/pquic-go/pquic/interop/capture"
)

// A Verdict is how a case ended for a pair.
type Verdict uint8

const (
	Passed Verdict = iota
	Failed
	Faulty      // failed by a known fault of the peer
	Unsupported // one of the ends does not have the feature
	Skipped     // cannot run on this machine
)

// A Result is a verdict and its reason.
type Result struct {
	Client  string        `json:"client"`
	Server  string        `json:"server"`
	Case    string        `json:"case"`
	Verdict Verdict       `json:"-"`
	Word    string        `json:"verdict"`
	Reason  string        `json:"reason,omitempty"`
	Note    string        `json:"note,omitempty"`
	Earlier []Attempt     `json:"earlier,omitempty"` // tries before this one, all of which failed
	Logs    string        `json:"logs,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// An Attempt is a try that failed.
type Attempt struct {
	Reason string `json:"reason"`
	Logs   string `json:"logs"`
}

var verdictWords = [...]string{"passed", "failed", "known fault of the peer", "unsupported", "skipped"}

// errUnsupported is what an endpoint says by exiting with 127.
var errUnsupported = errors.New("exit code 127")

// patience ends a run that hangs.
const patience = 4 * time.Minute

// reasonNot says why a pair cannot do a case; "" if it can.
func reasonNot(client, server *Endpoint, c *Case) (Verdict, string) {
	for _, end := range []struct {
		e    *Endpoint
		role string
	}{{client, "client"}, {server, "server"}} {
		if end.e.Missing != "" {
			return Skipped, end.e.Name + ": " + end.e.Missing
		}
		if why := end.e.cannot(end.role, c); why != "" {
			return Unsupported, end.e.Name + " " + end.role + ": " + why
		}
	}
	return Passed, ""
}

func (e *Endpoint) cannot(role string, c *Case) string {
	if e.Only != nil {
		for _, name := range e.Only {
			if name == c.Name {
				return e.Cannot[role+"/"+c.Name]
			}
		}
		return "not one of its cases"
	}
	return e.Cannot[role+"/"+c.Name]
}

// Run runs one case with one pair; dir holds its files and logs.
func Run(ctx context.Context, client, server *Endpoint, c *Case, dir string, full bool, seed uint64) Result {
	r := Result{Client: client.Name, Server: server.Name, Case: c.Name, Logs: dir}
	begin := time.Now()
	r.Verdict, r.Reason = reasonNot(client, server, c)
	if r.Verdict == Passed {
		note, err := run(ctx, client, server, c, dir, full, seed)
		r.Note = note
		switch {
		case errors.Is(err, linkemu.ErrUnavailable):
			r.Verdict, r.Reason = Skipped, err.Error()
		case errors.Is(err, errUnsupported):
			r.Verdict, r.Reason = Unsupported, err.Error()
		case err != nil:
			r.Verdict, r.Reason = Failed, err.Error()
			for role, e := range map[string]*Endpoint{"client": client, "server": server} {
				if f := e.Faults[role+"/"+c.Name]; f.explains(err.Error()) {
					r.Verdict, r.Reason = Faulty, fmt.Sprintf("%s %s (%v)", e.Name, f.Why, err)
				}
			}
		}
	}
	r.Elapsed, r.Word = time.Since(begin), verdictWords[r.Verdict]
	return r
}

func run(ctx context.Context, client, server *Endpoint, c *Case, dir string, full bool, seed uint64) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	setup, err := prepare(c, dir, full)
	if err != nil {
		return "", err
	}
	n, err := newNetwork(c, full, seed)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	h3 := client.OnlyH3 || server.OnlyH3
	common := Setup{
		Case: c, H3: h3, Names: setup.names, Certs: setup.certs, CertDir: setup.dir("certs"), WWW: setup.dir("www"),
		Downloads: setup.dir("downloads"), Listen: n.listen(), Target: n.target(), Preferred: n.preferred(),
	}
	serverSetup, clientSetup := common, common
	serverSetup.Test, serverSetup.KeyLog, serverSetup.QLog, serverSetup.Scratch = c.serverTest(), setup.dir("server/keys"), setup.dir("server/qlog"), setup.dir("server")
	clientSetup.Test, clientSetup.KeyLog, clientSetup.QLog, clientSetup.Scratch = c.clientTest(), setup.dir("client/keys"), setup.dir("client/qlog"), setup.dir("client")
	s, err := startProgram(ctx, n, capture.Server, server.Server(&serverSetup), setup.dir("server"))
	if err != nil {
		return "", err
	}
	defer s.stop()
	if err := s.waitReady(ctx); err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	judged, note, err := runClient(ctx, n, client.Client(&clientSetup), setup.dir("client"))
	s.stop()
	// What passed on the wire is of use most when the client has failed.
	o := &Outcome{Case: c, Names: setup.names, WWW: setup.dir("www"), Download: setup.dir("downloads")}
	keys := make(capture.KeyLog)
	keyErr := errors.Join(keys.ReadKeyLog(clientSetup.KeyLog), keys.ReadKeyLog(serverSetup.KeyLog))
	o.Trace = capture.Analyze(n.log(), keys)
	if err := errors.Join(err, keyErr, writeTrace(dir, n.log(), o.Trace)); err != nil {
		return "", err
	}
	if judged {
		return note, judgedByOutput(o)
	}
	if err := o.check(); err != nil {
		return "", err
	}
	if c.Alone {
		o.Note = fmt.Sprintf("%.1f Mbps", o.goodput())
	}
	return o.Note, nil
}

// runClient runs a client's commands one after the other; judged tells that their output has been
// checked, and note what it showed.
func runClient(ctx context.Context, n network, commands []*Command, dir string) (judged bool, note string, err error) {
	for _, command := range commands {
		p, err := startProgram(ctx, n, capture.Client, command, dir)
		if err != nil {
			return judged, note, err
		}
		if err := p.wait(ctx); err != nil {
			return judged, note, fmt.Errorf("client: %w", err)
		}
		if command.Check != nil {
			judged, note = true, command.Note
			if err := command.Check(p.output()); err != nil {
				return judged, note, err
			}
		}
	}
	return judged, note, nil
}

// writeTrace keeps what passed on the wire, for whoever looks into a failure.
func writeTrace(dir string, log []capture.Datagram, t *capture.Trace) error {
	f, err := os.Create(filepath.Join(dir, "datagrams.pcap"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(capture.WritePcap(w, log), w.Flush(), f.Close()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "trace.json"), text, 0o644)
}

// judgedByOutput checks what remains for a client that stores no files: that it was a QUIC client.
func judgedByOutput(o *Outcome) error {
	if len(o.served()) == 0 {
		return errors.New("no QUIC connection reached the server")
	}
	return nil
}

// scratch is the directory of a run.
type scratch struct {
	root  string
	names []string
	certs certFiles
}

func (s *scratch) dir(name string) string { return filepath.Join(s.root, name) }

func prepare(c *Case, dir string, full bool) (*scratch, error) {
	s := &scratch{root: dir}
	for _, name := range []string{"certs", "www", "downloads", "server/qlog", "client/qlog"} {
		if err := os.MkdirAll(s.dir(name), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if s.certs, err = certificates(s.dir("certs"), c); err != nil {
		return nil, err
	}
	if s.names, err = c.makeFiles(s.dir("www"), full); err != nil {
		return nil, err
	}
	if c.OnlyH3 {
		err = writePage(s.dir("www"), s.names)
	}
	return s, err
}

// A program is a running endpoint.
type program struct {
	name  string
	cmd   *exec.Cmd
	out   *collector
	done  chan struct{}
	err   error
	ended sync.Once
}

// A collector keeps a program's output, copies it to a file, and tells when a line came.
type collector struct {
	mu    sync.Mutex
	text  bytes.Buffer
	file  *os.File
	want  string
	found chan struct{}
}

func (c *collector) copy(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		c.mu.Lock()
		if c.text.Len() < 1<<20 {
			c.text.WriteString(line)
		}
		_, _ = io.WriteString(c.file, line)
		if c.want != "" && strings.Contains(line, c.want) {
			close(c.found)
			c.want = ""
		}
		c.mu.Unlock()
		if err != nil {
			_ = c.file.Close()
			return
		}
	}
}

func startProgram(ctx context.Context, n network, side capture.Side, c *Command, dir string) (*program, error) {
	f, err := os.OpenFile(filepath.Join(dir, "output.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = dir
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	p := &program{
		name: filepath.Base(c.Path), cmd: cmd, done: make(chan struct{}),
		out: &collector{file: f, want: c.Ready, found: make(chan struct{})},
	}
	wait, err := n.start(side, cmd)
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	go func() {
		p.out.copy(r)
		_ = r.Close()
		p.err = wait()
		close(p.done)
	}()
	return p, nil
}

// waitReady waits for a server's line.
func (p *program) waitReady(ctx context.Context) error {
	select {
	case <-p.out.found:
		return nil
	case <-p.done:
		return p.failure(errors.New("ended before it was ready"))
	case <-ctx.Done():
		return errors.New("did not become ready")
	}
}

func (p *program) wait(ctx context.Context) error {
	<-p.done
	if ctx.Err() != nil {
		return fmt.Errorf("%s hung for %v", p.name, patience)
	}
	if p.err != nil {
		return p.failure(p.err)
	}
	return nil
}

// failure adds the last line of the output, which usually says why.
func (p *program) failure(err error) error {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() == 127 {
		return fmt.Errorf("%s: %w", p.name, errUnsupported)
	}
	lines := strings.Split(strings.TrimSpace(p.output()), "\n")
	return fmt.Errorf("%s: %w: %s", p.name, err, brief(lines[len(lines)-1]))
}

// brief shortens a line from the middle: what went wrong tends to stand at its end.
func brief(line string) string {
	const most = 100
	r := []rune(line)
	if len(r) <= 2*most {
		return line
	}
	return string(r[:most]) + " … " + string(r[len(r)-most:])
}

func (p *program) output() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.text.String()
}

// stop ends a program, in its own way if it does so soon.
func (p *program) stop() {
	p.ended.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		t := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
		<-p.done
		t.Stop()
	})
}
