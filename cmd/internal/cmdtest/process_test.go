package cmdtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin is where the programs are.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// buildAndRun builds the programs, with the race detector if the tests have it.
func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "cmdtest")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	for _, name := range []string{"server", "client", "perf", "interop"} {
		args = append(args, "github.com/pquic-go/pquic/cmd/pquic-"+name)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	bin = dir
	return m.Run(), nil
}

// watchdog ends programs that hang, so that the test can tell what they said.
const watchdog = 2 * time.Minute

// A process is a running program.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	lines chan string // of standard output

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr syncBuffer

	copied chan struct{} // closed when standard output has ended
	waited sync.Once
	code   int
}

// A syncBuffer is a buffer that tells when lines come.
type syncBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{} // closed and replaced at each write
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		close(s.more)
		s.more = nil
	}
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// changed returns the text and a channel that is closed when there is more.
func (s *syncBuffer) changed() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		s.more = make(chan struct{})
	}
	return s.b.String(), s.more
}

// command prepares a program. Arguments that contain "=" and begin with a
// capital are environment variables.
func command(ctx context.Context, program string, args []string) *exec.Cmd {
	var env, flags []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !setsFlag(name) {
			env = append(env, v)
		}
	}
	for _, a := range args {
		if regexp.MustCompile(`^[A-Z][A-Z_0-9]*=`).MatchString(a) {
			env = append(env, a)
		} else {
			flags = append(flags, a)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), flags...)
	cmd.Env = env
	return cmd
}

// start starts a program, which ends with the test.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	p := &process{t: t, name: program, cmd: command(ctx, program, args), lines: make(chan string, 10000), copied: make(chan struct{})}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	go func() {
		defer close(p.copied)
		defer close(p.lines)
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			p.mu.Lock()
			p.stdout.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				_ = out.Close()
				return
			}
			select {
			case p.lines <- strings.TrimSuffix(line, "\n"):
			default: // nobody looks at that many
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.wait()
		cancel()
		if t.Failed() {
			t.Logf("%s %s\nstdout:\n%s\nstderr:\n%s", program, strings.Join(args, " "), p.output(), p.stderr.String())
		}
	})
	return p
}

// output is what the program has printed so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// line returns the next line of standard output.
func (p *process) line() string {
	p.t.Helper()
	line, ok := <-p.lines
	if !ok {
		p.t.Fatalf("%s ended with code %d: %s", p.name, p.wait(), p.stderr.String())
	}
	return line
}

// find returns what a pattern's first group matches in a line of standard
// output, waiting for it.
func (p *process) find(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindStringSubmatch(p.line()); m != nil {
			return m[len(m)-1]
		}
	}
}

// waitLog waits until standard error has a text.
func (p *process) waitLog(text string) {
	p.t.Helper()
	for {
		got, more := p.stderr.changed()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-more:
		case <-p.copied:
			if p.wait(); !strings.Contains(p.stderr.String(), text) {
				p.t.Fatalf("%s ended and did not say %q", p.name, text)
			}
			return
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.waited.Do(func() {
		<-p.copied
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Errorf("%s: %v", p.name, err)
		}
		p.code = p.cmd.ProcessState.ExitCode()
	})
	return p.code
}

// end ends a program as an operator would and checks its exit code.
func (p *process) end() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("%s exits with %d after SIGTERM, want 0: %s", p.name, code, p.stderr.String())
	}
}

// A result is what came of a program that ended by itself.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a program to its end.
func run(t *testing.T, program string, args ...string) result {
	t.Helper()
	p := start(t, program, args...)
	code := p.wait()
	return result{code, p.output(), p.stderr.String()}
}

// wantFailure checks an exit code and that standard error is one line with a
// text.
func (r result) wantFailure(t *testing.T, code int, text string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") {
		t.Errorf("want one line, got %q", r.stderr)
	}
	if !strings.Contains(r.stderr, text) {
		t.Errorf("stderr %q lacks %q", r.stderr, text)
	}
	if strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("a stack trace: %s", r.stderr)
	}
}

func (r result) wantSuccess(t *testing.T) {
	t.Helper()
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// A site is a running pquic-server.
type site struct {
	*process
	addr, pin string
	dir       string // what it serves
}

// serve starts a server with a folder of its own.
func serve(t *testing.T, args ...string) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	s.process = start(t, "pquic-server", append([]string{"--listen", "127.0.0.1:0", "--www", s.dir, "--verbose"}, args...)...)
	s.addr = s.find(`^listening on (127\.0\.0\.1:\d+)$`)
	if !strings.Contains(strings.Join(args, " "), "--cert") {
		s.pin = s.find(`SPKI hash (\S+)$`)
	}
	return s
}

// url is the URL of a file.
func (s *site) url(name string) string { return "https://" + s.addr + "/" + name }

// put writes a file to be served.
func (s *site) put(name string, content []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}
