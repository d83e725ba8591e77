package linkemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var errClosed = errors.New("linkemu: the network is closed")

// A Host is a network namespace with a thread that lives in it.
type Host struct {
	name  string
	calls chan func()
	quit  chan struct{} // closed to end the thread
	ns    *os.File

	once      sync.Once
	mu        sync.Mutex
	processes map[*Process]struct{}
}

func newHost(name string) (*Host, error) {
	h := &Host{
		name: name, calls: make(chan func()), quit: make(chan struct{}),
		processes: make(map[*Process]struct{}),
	}
	made := make(chan error)
	go h.run(made)
	if err := <-made; err != nil {
		return nil, err
	}
	if err := h.ip("link set dev lo up\n"); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// run makes the namespace and is then its thread: the thread that calls fork, so that the commands
// start in the namespace and their parent-death signal means the end of this process.
func (h *Host) run(made chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		made <- fmt.Errorf("%w: making a network namespace: %w (needs root)", ErrUnavailable, err)
		return
	}
	var err error
	h.ns, err = os.Open("/proc/thread-self/ns/net")
	made <- err
	if err != nil {
		return
	}
	defer h.ns.Close()
	for {
		select {
		case f := <-h.calls:
			f()
		case <-h.quit:
			return
		}
	}
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// NamespacePath returns a path that nsenter --net= takes while this process lives.
func (h *Host) NamespacePath() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns.Fd())
}

// Do calls f on the thread that lives in the host's namespace and returns its error. A socket that
// f opens belongs to the namespace for good and may be used anywhere. Calls wait for one another.
func (h *Host) Do(f func() error) error {
	done := make(chan error, 1)
	select {
	case h.calls <- func() { done <- f() }:
		return <-done
	case <-h.quit:
		return errClosed
	}
}

// ip runs a batch of ip commands in the namespace.
func (h *Host) ip(batch string) error {
	return h.Do(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(batch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// A Process is a command that runs in a host.
type Process struct {
	cmd  *exec.Cmd
	host *Host
	done chan struct{}
	err  error
}

// Start starts cmd in the host. It is killed when the network is closed or this process ends.
// Call Wait of the Process, not of the Cmd.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := h.Do(cmd.Start); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, host: h, done: make(chan struct{})}
	h.mu.Lock()
	h.processes[p] = struct{}{}
	h.mu.Unlock()
	go func() {
		p.err = cmd.Wait()
		h.mu.Lock()
		delete(h.processes, p)
		h.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

// Wait waits for the command to end and returns what [exec.Cmd.Wait] returned.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the command and waits for that.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (h *Host) killAll() {
	h.mu.Lock()
	var all []*Process
	for p := range h.processes {
		all = append(all, p)
	}
	h.mu.Unlock()
	for _, p := range all {
		p.Kill()
	}
}

func (h *Host) close() { h.once.Do(func() { close(h.quit) }) }
