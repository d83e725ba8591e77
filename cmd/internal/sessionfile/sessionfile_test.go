package sessionfile

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/hoststack"
)

// connect makes a TLS connection and reports whether it resumed a session.
func connect(t *testing.T, addr string, s *Store) bool {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: s.Sessions("key")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadAll(c); err != nil { // tickets come with the data
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

func TestSessionsSurviveTheProcess(t *testing.T) {
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				_, _ = io.WriteString(c, "hello")
				_ = c.Close()
			}(c)
		}
	}()
	file := filepath.Join(t.TempDir(), "sessions")
	for visit := range 3 {
		s, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if resumed := connect(t, l.Addr().String(), s); resumed != (visit > 0) {
			t.Errorf("visit %d: resumed %v", visit+1, resumed)
		}
		if !s.WaitForTicket(t.Context(), "key") {
			t.Error("no ticket came")
		}
		if err := s.Save(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sessions")
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range byte(10) {
		s.Tokens("a").Put("", []byte{i})
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(file); err != nil {
		t.Fatal(err)
	}
	for want := byte(9); want > 9-maxTokens; want-- {
		if got := s.Tokens("a").Take(""); !bytes.Equal(got, []byte{want}) {
			t.Errorf("token %v, want %d", got, want)
		}
	}
	if s.Tokens("a").Take("") != nil || s.Tokens("b").Take("") != nil {
		t.Error("a token out of nothing")
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sessions")
	for _, text := range []string{"", "text", "{}", `{"format":"other"}`} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "is left alone") {
			t.Errorf("%q: %v", text, err)
		}
	}
	damaged := `{"format":"` + format + `","servers":{"a":{"ticket":"AAAA","state":"AAAA"}}}`
	if err := os.WriteFile(file, []byte(damaged), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if session, ok := s.Sessions("a").Get(""); ok || session != nil {
		t.Error("a damaged session is used")
	}
}

func TestNoTicket(t *testing.T) {
	s, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.WaitForTicket(ctx, "a") {
		t.Error("a ticket out of nothing")
	}
	if err := s.Save(); err != nil {
		t.Error(err)
	}
}
