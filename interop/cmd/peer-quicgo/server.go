package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func runServer(e *environment, t *tls.Config) error {
	if !supported(e.testcase, true) {
		return fmt.Errorf("%w: %s", errUnsupported, e.testcase)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(e.certs, "cert.pem"), filepath.Join(e.certs, "priv.key"))
	if err != nil {
		return err
	}
	t.Certificates = []tls.Certificate{cert}
	addr, err := net.ResolveUDPAddr("udp", e.listen)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: conn}
	if e.testcase == "retry" {
		transport.VerifySourceAddress = func(net.Addr) bool { return true }
	}
	if e.alpn == http3.NextProtoH3 {
		t = http3.ConfigureTLSConfig(t)
	}
	l, err := transport.ListenEarly(t, e.config())
	if err != nil {
		return err
	}
	fmt.Println("listening on", conn.LocalAddr())
	if e.alpn == http3.NextProtoH3 {
		s := &http3.Server{Handler: http.FileServer(http.Dir(e.www))}
		return s.ServeListener(l)
	}
	for {
		c, err := l.Accept(background)
		if err != nil {
			return err
		}
		go serveHQ(c, e.www)
	}
}

func serveHQ(c *quic.Conn, root string) {
	for {
		s, err := c.AcceptStream(background)
		if err != nil {
			return
		}
		go func() {
			if err := answer(s, root); err != nil {
				fmt.Fprintln(os.Stderr, "answering:", err)
				s.CancelWrite(1)
			}
		}()
	}
}

// answer serves one request of HTTP/0.9.
func answer(s *quic.Stream, root string) error {
	request, err := io.ReadAll(io.LimitReader(s, 64<<10))
	if err != nil {
		return err
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(request)), "GET /")
	if !ok || !filepath.IsLocal(path) {
		return errors.New("not a request for a file")
	}
	f, err := os.Open(filepath.Join(root, path))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(s, f); err != nil {
		return err
	}
	return s.Close()
}
