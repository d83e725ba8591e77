package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/download"
)

// toStdout is the --output that writes to standard output.
const toStdout = "-"

// A target is one URL and where its file goes.
type target struct {
	url  *url.URL
	text string // as it is printed, without a password
	file string // "" for standard output
}

// targets checks the arguments, and what of the flags depends on them.
func (o *options) targets(args []string) ([]target, error) {
	if len(args) == 0 {
		return nil, cliutil.Usagef("the URL is missing: want pquic-client [flags] https://HOST[:PORT]/PATH")
	}
	if o.ipv4 && o.ipv6 {
		return nil, cliutil.Usagef("--ipv4 and --ipv6 exclude each other")
	}
	if o.earlyData && o.resume == "" {
		return nil, cliutil.Usagef("--0rtt needs --resume FILE, where an earlier visit's session is")
	}
	if (o.cert == "") != (o.key == "") {
		return nil, cliutil.Usagef("--cert and --key belong together: give both")
	}
	var all []target
	byFile := make(map[string]string)
	for _, arg := range args {
		u, err := parseURL(arg)
		if err != nil {
			return nil, err
		}
		t := target{url: u, text: u.Redacted()}
		if o.output != toStdout {
			name, err := fileName(u)
			if err != nil {
				return nil, cliutil.Usagef("%s: %w", arg, err)
			}
			t.file = filepath.Join(o.output, name)
			if other, taken := byFile[t.file]; taken {
				if other == arg {
					return nil, cliutil.Usagef("%s is there twice", arg)
				}
				return nil, cliutil.Usagef("%s and %s would both become %s: fetch them into different --output folders", other, arg, t.file)
			}
			byFile[t.file] = arg
		}
		all = append(all, t)
	}
	return all, o.prepareOutput(all)
}

// parseURL accepts what can be fetched.
func parseURL(arg string) (*url.URL, error) {
	u, err := url.Parse(arg)
	var reason *url.Error
	switch {
	case errors.As(err, &reason):
		return nil, cliutil.Usagef("%q is no URL (%w): want https://HOST[:PORT]/PATH", arg, reason.Err)
	case err != nil:
		return nil, cliutil.Usagef("%q is no URL: want https://HOST[:PORT]/PATH", arg)
	case u.Scheme == "" || u.Opaque != "" && u.Scheme != "https":
		return nil, cliutil.Usagef("%q lacks https:// in front: want https://HOST[:PORT]/PATH", arg)
	case u.Scheme != "https":
		return nil, cliutil.Usagef("%q: QUIC has only https, not %s: want https://HOST[:PORT]/PATH", arg, u.Scheme)
	case u.Hostname() == "":
		return nil, cliutil.Usagef("%q lacks a host: want https://HOST[:PORT]/PATH", arg)
	}
	if port := u.Port(); port != "" {
		if err := cliutil.CheckAddress(":" + port); err != nil || port == "0" {
			return nil, cliutil.Usagef("%q: port %q: want a number from 1 to 65535", arg, port)
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// fileName is the last part of a URL's path.
func fileName(u *url.URL) (string, error) {
	name := path.Base("/" + u.Path)
	if strings.HasSuffix(u.Path, "/") || name == "/" {
		return "index.html", nil
	}
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\\x00") {
		return "", fmt.Errorf("the path ends in %q, which cannot be a file's name", name)
	}
	return name, nil
}

// prepareOutput makes the folder and looks whether the files can be there.
func (o *options) prepareOutput(all []target) error {
	if o.output == toStdout {
		o.parallel = 1
		return nil
	}
	if info, err := os.Stat(o.output); err == nil && !info.IsDir() {
		return cliutil.Exit(exitFile, fmt.Errorf("--output %s: is a file, want a folder, or - for standard output", o.output))
	}
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return cliutil.Exit(exitFile, fmt.Errorf("--output: %w", err))
	}
	for _, t := range all {
		if err := download.CheckTarget(t.file); err != nil {
			return cliutil.Exit(exitFile, err)
		}
	}
	return nil
}

// checkHeader accepts "NAME: VALUE".
func checkHeader(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if !ok || !isToken(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New(`want "NAME: VALUE", such as "Accept: text/html"`)
	}
	switch http.CanonicalHeaderKey(name) {
	case "Range", "If-Range", "Host", "Content-Length":
		return fmt.Errorf("%s is set by the program itself", http.CanonicalHeaderKey(name))
	}
	return nil
}

// isToken reports whether s can be the name of a header field.
// https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// header returns the fields to send.
func (o *options) header() http.Header {
	h := make(http.Header)
	for _, line := range o.headers {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}
