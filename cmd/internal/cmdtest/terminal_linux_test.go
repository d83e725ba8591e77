package cmdtest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal opens both ends of a terminal of so many columns.
func openTerminal(t *testing.T, columns uint16) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this system has no pseudo terminals: %v", err)
	}
	t.Cleanup(func() { user.Close() })
	fd := int(user.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return user, program
}

// On a terminal there is a progress bar, of whatever width the terminal is, and
// at the end it is gone; the summary goes to standard output alone.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", randomBytes(5<<20))
	for _, columns := range []uint16{0, 20, 100} {
		user, program := openTerminal(t, columns)
		cmd := command(t.Context(), "pquic-client", []string{"--pin", s.pin, "--output", t.TempDir(), s.url("file")})
		var stdout strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, program
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		program.Close()
		shown, err := io.ReadAll(user) // fails once the program has ended, which closes the terminal
		if len(shown) == 0 {
			t.Fatalf("nothing on the terminal: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		text := string(shown)
		if !strings.Contains(text, "%") || !strings.Contains(text, "/5.2 MB") || !strings.HasSuffix(text, "\x1b[2K\r") || strings.Contains(text, "\n") {
			t.Errorf("%d columns: %q", columns, text)
		}
		if columns != 20 && !strings.Contains(text, "|  ") && !strings.Contains(text, "█") {
			t.Errorf("%d columns: there is no bar: %q", columns, text)
		}
		if n := strings.Count(stdout.String(), "\n"); n != 1 || strings.Contains(stdout.String(), "\x1b") {
			t.Errorf("%d columns: standard output %q", columns, stdout.String())
		}
	}
	s.end()
}
