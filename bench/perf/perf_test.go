package perf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/pquic-go/pquic/bench/stack"
	"github.com/pquic-go/pquic/bench/stack/pquic"
	"github.com/pquic-go/pquic/bench/stack/quicgo"
	"github.com/pquic-go/pquic/bench/testcert"
)

var stacks = []stack.Stack{quicgo.Stack{}, pquic.Stack{}}

// Every workload runs to its end on every implementation and counts what it did.
func TestWorkloads(t *testing.T) {
	files, err := testcert.Write(t.TempDir(), testcert.Options{DNSNames: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stacks {
		t.Run(s.Name(), func(t *testing.T) {
			cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
			if err != nil {
				t.Fatal(err)
			}
			pem, err := os.ReadFile(files.CA)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(pem)
			o := options{maxDatagram: 1452, bytes: 5 << 20, streams: 3, count: 20, parallel: 4, think: time.Microsecond}
			l, err := s.Listen("127.0.0.1:0", newConfig(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{ALPN}}, &o))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var server Server
			go func() { _ = server.Serve(t.Context(), l) }()
			o.target = l.Addr().String()
			d, err := s.NewDialer("127.0.0.1:0", newConfig(&tls.Config{RootCAs: roots, NextProtos: []string{ALPN}, ServerName: "localhost"}, &o))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for name, check := range map[string]func(*Result) bool{
				"download": func(r *Result) bool {
					return r.Bytes == 15<<20 && r.Steady.Packets > 0 && server.Steady().Packets > 0
				},
				"latency":    func(r *Result) bool { return r.Requests == 20 && r.LatencyUS.P50 > 0 },
				"handshakes": func(r *Result) bool { return r.Handshakes == 20 },
				"idle":       func(r *Result) bool { return r.Conns == 20 },
			} {
				o.workload = name
				c := client{dialer: d, o: &o}
				r, err := c.run(context.Background())
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if !check(r) || r.Seconds <= 0 || r.After.Mallocs == 0 {
					t.Errorf("%s: result %+v", name, r)
				}
				for _, conn := range c.held {
					conn.Close()
				}
			}
		})
	}
}
