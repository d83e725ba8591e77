package perf

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pquic-go/pquic/bench/stack"
)

// Ready begins the first line that a server prints; the address follows.
const Ready = "listening on "

type options struct {
	listen, local, target string
	cert, key, ca         string
	workload              string
	bytes                 uint64
	streams               int
	count, parallel       int
	think, timeout        time.Duration
	maxDatagram           int
}

// A Report is a server's answer to the command "stats".
type Report struct {
	Usage
	// CPUAtCommand is the processor time before the garbage collection that precedes Usage.
	CPUAtCommand float64 `json:"cpu_at_command"`
	Steady       Steady  `json:"steady"`
}

// A Hello is the first line of a client.
type Hello struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Main is the program of a peer: "server" or "client" with flags. Both end when their standard
// input does, so that nothing outlives whoever started them.
//
// A server prints "listening on ADDRESS" and answers each line "stats" on its standard input with
// a [Report] as a line of JSON. A client prints a [Hello], runs its workload, prints a [Result], and
// holds its connections.
func Main(s stack.Stack) {
	if err := run(s, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name(), err)
		os.Exit(1)
	}
}

func run(s stack.Stack, args []string) error {
	if len(args) == 0 || args[0] != "server" && args[0] != "client" {
		return errors.New("want server or client as the first argument")
	}
	var o options
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.IntVar(&o.maxDatagram, "max-datagram", 0, "fixed size of the largest UDP payload in `bytes`; 0 lets MTU discovery find it")
	if args[0] == "server" {
		f.StringVar(&o.listen, "listen", "127.0.0.1:0", "UDP `address` to serve on")
		f.StringVar(&o.cert, "cert", "", "certificate `file` (PEM)")
		f.StringVar(&o.key, "key", "", "private key `file` (PEM)")
	} else {
		f.StringVar(&o.local, "local", "127.0.0.1:0", "UDP `address` to send from")
		f.StringVar(&o.target, "target", "", "UDP `address` of the server")
		f.StringVar(&o.ca, "ca", "", "`file` with the certificate authority (PEM)")
		f.StringVar(&o.workload, "workload", "download", "one of "+workloadNames())
		f.Uint64Var(&o.bytes, "bytes", 1e9, "bytes to download on each stream")
		f.IntVar(&o.streams, "streams", 1, "streams to download on at once")
		f.IntVar(&o.count, "count", 1000, "requests, handshakes or idle connections to make")
		f.IntVar(&o.parallel, "parallel", 1, "handshakes at a time")
		f.DurationVar(&o.think, "think", 0, "pause before each request")
		f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "time after which to give up")
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "server" {
		return runServer(s, &o)
	}
	return runClient(s, &o)
}

func runServer(s stack.Stack, o *options) error {
	cert, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return fmt.Errorf("-cert and -key: %w", err)
	}
	l, err := s.Listen(o.listen, newConfig(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{ALPN}}, o))
	if err != nil {
		return err
	}
	var server Server
	go func() { _ = server.Serve(context.Background(), l) }()
	fmt.Println(Ready + l.Addr().String())
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		if strings.TrimSpace(in.Text()) != "stats" {
			return fmt.Errorf("command %q: the only one is stats", in.Text())
		}
		cpu := ReadUsage().CPUSeconds
		if err := out.Encode(Report{Usage: settled(), CPUAtCommand: cpu, Steady: server.Steady()}); err != nil {
			return err
		}
	}
	return l.Close()
}

func runClient(s stack.Stack, o *options) error {
	if workloads[o.workload] == nil {
		return fmt.Errorf("-workload %q: want one of %s", o.workload, workloadNames())
	}
	if o.parallel < 1 || o.streams < 1 || o.count < 1 {
		return errors.New("-parallel, -streams and -count want 1 or more")
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return fmt.Errorf("-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("-ca: no certificate in %s", o.ca)
	}
	// Without a session cache every handshake is a full one.
	d, err := s.NewDialer(o.local, newConfig(&tls.Config{RootCAs: roots, NextProtos: []string{ALPN}, ServerName: "localhost"}, o))
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(Hello{s.Name(), s.Version()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	c := client{dialer: d, o: o}
	r, err := c.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", o.workload, err)
	}
	if err := out.Encode(r); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, conn := range c.held {
		_ = conn.Close()
	}
	return d.Close()
}
