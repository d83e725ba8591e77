//go:build !linux

package linkemu

import (
	"fmt"
	"os/exec"
	"runtime"
)

// A Network is a set of hosts and links.
type Network struct{}

// New returns an error that wraps ErrUnavailable.
func New(Config) (*Network, error) {
	return nil, fmt.Errorf("%w: %s has no network namespaces", ErrUnavailable, runtime.GOOS)
}

// Host, Link, Hosts and Close are those of Linux.
func (*Network) Host(string) *Host { return nil }
func (*Network) Link(int) *Link    { return nil }
func (*Network) Hosts() []string   { return nil }
func (*Network) Close() error      { return nil }

// A Host is a network namespace.
type Host struct{}

func (*Host) Do(func() error) error             { return ErrUnavailable }
func (*Host) Start(*exec.Cmd) (*Process, error) { return nil, ErrUnavailable }
func (*Host) Name() string                      { return "" }
func (*Host) NamespacePath() string             { return "" }

// A Process is a command running in a host.
type Process struct{}

func (*Process) Wait() error { return ErrUnavailable }
func (*Process) Kill()       {}

// A Link joins two hosts.
type Link struct{}

func (*Link) Set(Direction, func(*Shape)) error { return ErrUnavailable }
func (*Link) Rebind(Rebind) error               { return ErrUnavailable }
func (*Link) Play([]Step) error                 { return ErrUnavailable }
func (*Link) Stats(Direction) Stats             { return Stats{} }
