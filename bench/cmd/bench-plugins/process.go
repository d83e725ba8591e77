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
	"path/filepath"
	"strings"

	"github.com/pquic-go/pquic/bench/perf"
)

// A sample is one run of the client and the server.
type sample struct {
	client        perf.Result
	before, after perf.Report // of the server
	ends          [2]account  // server, client
}

// cpu is the processor time of both ends in seconds.
func (s *sample) cpu() float64 {
	return s.client.CPUSeconds + s.after.CPUAtCommand - s.before.CPUSeconds
}

func (s sample) String() string {
	gb := float64(s.client.Bytes) / 1e9
	return fmt.Sprintf("%.0f Mbps, %.3f CPU s/GB, %d packets, %d anchors", gb*8e3/s.client.Seconds, s.cpu()/gb,
		s.ends[0].Packets+s.ends[1].Packets, s.ends[0].Anchors+s.ends[1].Anchors)
}

// A process is a running peer.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func (h *harness) start(s *setting, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(h.program, args...)}
	var list []string
	for _, name := range s.plugins {
		if strings.HasSuffix(name, ".o") {
			name = filepath.Join(h.objects, name)
		}
		list = append(list, name)
	}
	p.cmd.Env = append(os.Environ(), pluginsVariable+"="+strings.Join(list, ","))
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *process) line() (string, error) {
	text, err := p.out.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s ended: %s", p.cmd.Args[1], strings.TrimSpace(p.stderr.String()))
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

func (p *process) stats(r *perf.Report) error {
	if _, err := io.WriteString(p.in, "stats\n"); err != nil {
		return err
	}
	return p.json(r)
}

// end lets the process end and reads what it did; a fault of a plugin is an error.
func (p *process) end(a *account) error {
	_ = p.in.Close()
	err := p.json(a)
	if err == nil && a.Fault != "" {
		err = errors.New(a.Fault)
	}
	return errors.Join(err, p.cmd.Wait())
}

// kill ends a process whose run failed; after end it does nothing.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// once runs a client and a server with the plugins of s.
func (h *harness) once(s *setting, workload []string) (r sample, err error) {
	server, err := h.start(s, "server", "-max-datagram=1452", "-cert="+h.certs.Cert, "-key="+h.certs.Key)
	if err != nil {
		return r, err
	}
	defer server.kill()
	ready, err := server.line()
	if err != nil {
		return r, err
	}
	if err := server.stats(&r.before); err != nil {
		return r, err
	}
	args := append([]string{"client", "-target=" + strings.TrimPrefix(ready, perf.Ready), "-ca=" + h.certs.CA}, workload...)
	client, err := h.start(s, args...)
	if err != nil {
		return r, err
	}
	defer client.kill()
	var hello perf.Hello
	if err := client.json(&hello); err != nil {
		return r, err
	}
	if err := client.json(&r.client); err != nil {
		return r, err
	}
	if err := server.stats(&r.after); err != nil {
		return r, err
	}
	if err := client.end(&r.ends[1]); err != nil {
		return r, err
	}
	return r, server.end(&r.ends[0])
}
