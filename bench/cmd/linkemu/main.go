// Command linkemu runs a client and a server on an emulated link between two network namespaces.
//
//	linkemu -link rate=10mbit,delay=15ms,queue=25p -server 'iperf3 -s -1' -ready 'Server listening' iperf3 -c 10.88.0.2
//
// The client's host has the address 10.88.0.1 (fd88::1), the server's 10.88.0.2 (fd88::2). Its exit
// code is that of the client's command; without such a command it keeps the link up until it is
// interrupted and prints how to enter the hosts.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pquic-go/pquic/bench/linkemu"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "linkemu:", strings.TrimPrefix(err.Error(), "linkemu: "))
	}
	os.Exit(code)
}

type options struct {
	link, up, down, script string
	server, ready          string
	nat                    bool
	mtu                    int
	seed                   uint64
	client                 []string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("linkemu", flag.ContinueOnError)
	f.StringVar(&o.link, "link", "", "shape of both directions, such as rate=10mbit,delay=15ms,queue=25p,loss=2%")
	f.StringVar(&o.up, "up", "", "shape from the client to the server, in place of -link")
	f.StringVar(&o.down, "down", "", "shape from the server to the client, in place of -link")
	f.StringVar(&o.script, "script", "", "`file` of changes over time, such as a line \"5s every 7s both down\"")
	f.StringVar(&o.server, "server", "", "`command` to run in the server's host, by the shell")
	f.StringVar(&o.ready, "ready", "", "`text` in the server's output that lets the client start; without it the client starts at once")
	f.BoolVar(&o.nat, "nat", false, "put the client behind a NAT, which scripts can rebind")
	f.IntVar(&o.mtu, "mtu", 1500, "MTU of the link in bytes")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the random choices")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: linkemu [flags] [client command…]\n\nExample: linkemu -link rate=10mbit,delay=15ms,queue=25p ping -c 3 10.88.0.2\n\n")
		f.PrintDefaults()
	}
	err = f.Parse(args)
	o.client = f.Args()
	return o, err
}

func (o *options) config() (linkemu.Config, error) {
	l := linkemu.LinkConfig{NAT: o.nat, MTU: o.mtu}
	for _, way := range []struct {
		text  string
		shape *linkemu.Shape
	}{{o.up, &l.AToB}, {o.down, &l.BToA}} {
		if way.text == "" {
			way.text = o.link
		}
		var err error
		if *way.shape, err = linkemu.ParseShape(way.text); err != nil {
			return linkemu.Config{}, err
		}
	}
	if o.script != "" {
		f, err := os.Open(o.script)
		if err != nil {
			return linkemu.Config{}, err
		}
		defer f.Close()
		if l.Script, err = linkemu.ParseScript(f); err != nil {
			return linkemu.Config{}, fmt.Errorf("%s: %w", o.script, err)
		}
	}
	return linkemu.Config{Seed: o.seed, Links: []linkemu.LinkConfig{l}}, nil
}

func run(args []string) (code int, err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	} else if err != nil {
		return 2, nil // the flag package has said it
	}
	config, err := o.config()
	if err != nil {
		return 2, err
	}
	net, err := linkemu.New(config)
	if err != nil {
		return 1, err
	}
	defer func() {
		l := net.Link(0)
		fmt.Fprintf(os.Stderr, "client > server: %v\nserver > client: %v\n", l.Stats(linkemu.AToB), l.Stats(linkemu.BToA))
		err = errors.Join(err, net.Close())
	}()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	if err := startServer(net.Host("server"), &o); err != nil {
		return 1, err
	}
	if len(o.client) == 0 {
		for _, h := range net.Hosts() {
			fmt.Printf("%s: nsenter --net=%s\n", h, net.Host(h).NamespacePath())
		}
		<-stop
		return 0, nil
	}
	return runClient(net.Host("client"), o.client, stop)
}

// startServer starts the server's command and returns when it is ready.
func startServer(h *linkemu.Host, o *options) error {
	if o.server == "" {
		return nil
	}
	cmd := exec.Command("/bin/sh", "-c", o.server)
	cmd.Stderr = os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = w
	_, err = h.Start(cmd)
	_ = w.Close()
	if err != nil {
		return err
	}
	lines := bufio.NewReader(r)
	for o.ready != "" {
		line, err := lines.ReadString('\n')
		fmt.Print(line)
		if strings.Contains(line, o.ready) {
			break
		}
		if err != nil {
			return fmt.Errorf("the server ended without %q in its output", o.ready)
		}
	}
	go func() { _, _ = io.Copy(os.Stdout, lines) }()
	return nil
}

func runClient(h *linkemu.Host, args []string, stop <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	p, err := h.Start(cmd)
	if err != nil {
		return 127, err
	}
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	select {
	case err = <-done:
	case <-stop:
		return 130, nil // closing the network ends the command
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
