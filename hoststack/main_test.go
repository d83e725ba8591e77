package hoststack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if goroutines of this package are left when all tests are
// done.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftGoroutines(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftGoroutines lists this package's goroutines once they had time to end.
func leftGoroutines() string {
	var left []string
	for wait := time.Now().Add(10 * time.Second); time.Now().Before(wait); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = left[:0]
		for _, g := range strings.Split(string(buf), "\n\n") {
			if strings.Contains(g, "pquic/hoststack.") && !strings.Contains(g, "TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

var testCert = func() tls.Certificate {
	c, err := SelfSigned(nil, 0)
	if err != nil {
		panic(err)
	}
	return c
}()

func serverConfig() *Config {
	return &Config{TLS: &tls.Config{Certificates: []tls.Certificate{testCert}, NextProtos: []string{"test"}}}
}

func clientConfig() *Config {
	roots := x509.NewCertPool()
	roots.AddCert(testCert.Leaf)
	return &Config{TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"test"}}}
}

// testTimeout ends a test that hangs.
const testTimeout = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// listen starts a server that runs handle for each connection.
func listen(t testing.TB, cfg *Config, handle func(*Conn)) *Listener {
	t.Helper()
	l, err := Listen(context.Background(), "udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l
}

// dial connects to l and closes the connection when the test ends.
func dial(t testing.TB, l *Listener, cfg *Config) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), "udp", l.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c
}

// pair returns both ends of a connection.
func pair(t testing.TB, server, client *Config) (s, c *Conn) {
	t.Helper()
	conns := make(chan *Conn, 1)
	l := listen(t, server, func(c *Conn) { conns <- c })
	c = dial(t, l, client)
	return <-conns, c
}

// sessionCache is a tls.ClientSessionCache that tells when it has something.
type sessionCache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func newSessionCache() *sessionCache {
	return &sessionCache{tls.NewLRUClientSessionCache(0), make(chan struct{}, 1)}
}

func (c *sessionCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	select {
	case c.put <- struct{}{}:
	default:
	}
}

// wait waits for a session to be stored.
func (c *sessionCache) wait(t testing.TB) {
	t.Helper()
	select {
	case <-c.put:
	case <-testContext(t).Done():
		t.Fatal("no session ticket came")
	}
}
