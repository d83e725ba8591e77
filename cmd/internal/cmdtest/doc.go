// Package cmdtest tests the programs under cmd as their users meet them: it
// builds them, runs servers and clients over loopback, and looks at exit codes,
// output and files. The tests themselves are in this package's test files;
// what other packages use is here.
package cmdtest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Help compares a program's help with the file testdata/NAME.
func Help(t *testing.T, app *cli.App, name string, args ...string) {
	t.Helper()
	clearEnvironment(t)
	var stdout, stderr strings.Builder
	if code := cliutil.Run(app, append([]string{app.Name}, args...), &stdout, &stderr); code != cliutil.ExitOK || stderr.Len() > 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr.String())
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(stdout.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run go test -update to write it", err)
	}
	if stdout.String() != string(want) {
		t.Errorf("the help has changed: look at it, then run go test -update\ngot:\n%s\nwant:\n%s", stdout.String(), want)
	}
}

// clearEnvironment hides the variables that set flags.
func clearEnvironment(t *testing.T) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if setsFlag(name) {
			t.Setenv(name, "") // restores it at the end
			_ = os.Unsetenv(name)
		}
	}
}

// setsFlag reports whether an environment variable sets a flag of a program.
func setsFlag(name string) bool {
	switch name {
	case "QLOGDIR", "SSLKEYLOGFILE", "ROLE", "TESTCASE", "REQUESTS", "CLIENT_PARAMS", "SERVER_PARAMS", "NOTIFY_SOCKET":
		return true
	}
	return strings.HasPrefix(name, cliutil.EnvPrefix)
}
