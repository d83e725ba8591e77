package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/pquic-go/pquic/bench/linkemu"
	"github.com/pquic-go/pquic/bench/perf"
)

// A process is a running peer that we talk to by lines.
type process struct {
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
	name   string
	wait   func() error
}

// start starts a program, in host if that is not nil.
func start(host *linkemu.Host, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	p := &process{stderr: new(bytes.Buffer), name: program + " " + args[0]}
	cmd.Stderr = p.stderr
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// A pipe of our own: Wait closes the one that StdoutPipe makes, which must not happen before
	// everything has been read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, p.out = w, bufio.NewReader(r)
	defer w.Close()
	if host == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		p.wait = cmd.Wait
		return p, nil
	}
	running, err := host.Start(cmd)
	if err != nil {
		return nil, err
	}
	p.wait = running.Wait
	return p, nil
}

// line reads a line of the program's output.
func (p *process) line() (string, error) {
	text, err := p.out.ReadString('\n')
	if errors.Is(err, io.EOF) {
		_ = p.in.Close()
		_ = p.wait()
		return "", fmt.Errorf("%s ended: %s", p.name, strings.TrimSpace(p.stderr.String()))
	}
	return strings.TrimSpace(text), err
}

func (p *process) json(v any) error {
	text, err := p.line()
	if err == nil {
		err = json.Unmarshal([]byte(text), v)
	}
	return err
}

// stats asks a server.
func (p *process) stats() (r perf.Report, err error) {
	if _, err = io.WriteString(p.in, "stats\n"); err == nil {
		err = p.json(&r)
	}
	return r, err
}

// end tells the program to end, by closing its standard input, and waits for that.
func (p *process) end() {
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.wait()
}

// A sample is one run of one workload with one implementation.
type sample struct {
	Peer    perf.Hello  `json:"peer"`
	Client  perf.Result `json:"client"`
	Before  perf.Report `json:"server_before"`
	After   perf.Report `json:"server_after"`
	Link    string      `json:"link,omitempty"`
	Failure string      `json:"failure,omitempty"`
}

// run runs a workload once with the program of one implementation at both ends.
func (h *harness) run(w *workload, program string) (s sample, err error) {
	var clientHost, serverHost *linkemu.Host
	listen, local := "127.0.0.1:0", "127.0.0.1:0"
	if w.link != nil {
		net, err := linkemu.New(linkemu.Config{Seed: h.seed, Links: []linkemu.LinkConfig{*w.link}})
		if err != nil {
			return s, err
		}
		defer func() {
			l := net.Link(0)
			s.Link = fmt.Sprintf("up: %v; down: %v", l.Stats(linkemu.AToB), l.Stats(linkemu.BToA))
			err = errors.Join(err, net.Close())
		}()
		clientHost, serverHost = net.Host("client"), net.Host("server")
		listen, local = "10.88.0.2:4433", "10.88.0.1:0"
	}
	size := fmt.Sprint("-max-datagram=", w.maxDatagram)
	server, err := start(serverHost, program, "server", size, "-listen="+listen, "-cert="+h.certs.Cert, "-key="+h.certs.Key)
	if err != nil {
		return s, err
	}
	defer server.end()
	ready, err := server.line()
	if err != nil {
		return s, err
	}
	addr, ok := strings.CutPrefix(ready, perf.Ready)
	if !ok {
		return s, fmt.Errorf("%s: first line %q, want %q and an address", server.name, ready, perf.Ready)
	}
	if s.Before, err = server.stats(); err != nil {
		return s, err
	}
	args := append([]string{"client", size, "-target=" + addr, "-local=" + local, "-ca=" + h.certs.CA}, w.args(h.scale)...)
	client, err := start(clientHost, program, args...)
	if err != nil {
		return s, err
	}
	defer client.end()
	if err := client.json(&s.Peer); err != nil {
		return s, err
	}
	if err := client.json(&s.Client); err != nil {
		return s, err
	}
	s.After, err = server.stats()
	return s, err
}
