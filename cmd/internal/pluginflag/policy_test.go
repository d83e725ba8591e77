package pluginflag

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
)

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]selector{
		"alpn=h3:hello":                    {alpn: "h3"},
		"sni=example.org:./x.o,a=b:c":      {sni: "example.org"},
		"sni=Example.ORG.:hello":           {sni: "example.org"},
		"sni=*.example.org:hello":          {sni: "*.example.org"},
		"alpn=h3,sni=example.org:hello":    {"h3", "example.org"},
		"sni=example.org,alpn=hq:hello,x=": {"hq", "example.org"},
	} {
		got, spec, err := parsePolicy(text)
		if err != nil || got != want || spec != text[strings.Index(text, ":")+1:] {
			t.Errorf("%q: %+v, %q, %v", text, got, spec, err)
		}
	}
	for text, want := range map[string]string{
		"":                       "want alpn=PROTOCOL",
		"hello":                  "want alpn=PROTOCOL",
		"alpn=h3":                "want alpn=PROTOCOL",
		"alpn=h3:":               "want alpn=PROTOCOL",
		"alpn=:hello":            "want alpn=PROTOCOL",
		"port=443:hello":         "want alpn=PROTOCOL",
		"alpn=a,alpn=b:hello":    "alpn is there twice",
		"sni=127.0.0.1:hello":    "no addresses",
		"sni=:hello":             "want a host name",
		"sni=*.:hello":           "want a host name",
		"sni=a b:hello":          "want a host name",
		"sni=*.*.example:hello":  "want a host name",
		"alpn=h3,,sni=a.b:hello": "want alpn=PROTOCOL",
	} {
		if _, _, err := parsePolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		s         selector
		alpn, sni string
		want      bool
	}{
		{selector{alpn: "h3"}, "h3", "", true},
		{selector{alpn: "h3"}, "hq-interop", "", false},
		{selector{sni: "example.org"}, "h3", "EXAMPLE.org", true},
		{selector{sni: "example.org"}, "h3", "www.example.org", false},
		{selector{sni: "example.org"}, "h3", "", false},
		{selector{sni: "*.example.org"}, "h3", "www.example.org", true},
		{selector{sni: "*.example.org"}, "h3", "example.org", false},
		{selector{sni: "*.example.org"}, "h3", ".example.org", false},
		{selector{sni: "*.example.org"}, "h3", "a.b.example.org", false},
		{selector{"h3", "example.org"}, "h3", "example.org", true},
		{selector{"h3", "example.org"}, "h3", "example.com", false},
	} {
		if got := c.s.selects(c.alpn, c.sni); got != c.want {
			t.Errorf("%+v selects %q, %q: %v", c.s, c.alpn, c.sni, got)
		}
	}
}

func TestCheckPolicy(t *testing.T) {
	o := Options{Policy: []string{"alpn=h4:hello"}}
	if err := o.CheckPolicy([]string{"h3", "perf"}); err == nil || !strings.Contains(err.Error(), `"h4" is not spoken here: want h3 or perf`) {
		t.Error(err)
	}
	o.Policy = []string{"alpn=h3:hello", "sni=a.example:hello"}
	if err := o.CheckPolicy([]string{"h3"}); err != nil {
		t.Error(err)
	}
}

// TestPolicy: connections get the plugins that their protocol and name call for,
// a negotiated one included, and no others.
func TestPolicy(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	o := Options{Engine: "interp", Specs: []string{"ack_delay"}, Policy: []string{"alpn=one:monitoring", "sni=b.example:hello", "alpn=two,sni=a.example:stream_rr"}}
	set, err := o.Load(log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cert, err := hoststack.SelfSigned([]string{"a.example"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := hoststack.Listen(ctx, "udp", "127.0.0.1:0", &hoststack.Config{
		TLS:    &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"one", "two"}},
		Core:   core.Config{OnTransportParameters: set.OnTransportParameters(nil)},
		OnConn: set.OnConn(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := (&Options{Engine: "interp", Specs: []string{"hello"}}).Load(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		alpn, sni string
		want      []string
	}{
		{"one", "a.example", []string{"ack_delay", "monitoring"}},
		{"two", "a.example", []string{"ack_delay", "stream_rr"}},
		{"one", "b.example", []string{"ack_delay", "monitoring", "hello"}},
		{"two", "c.example", []string{"ack_delay"}},
	} {
		_, err := hoststack.Dial(ctx, "udp", l.Addr().String(), &hoststack.Config{
			OnConn: client.OnConn(nil),
			TLS:    &tls.Config{InsecureSkipVerify: true, ServerName: c.sni, NextProtos: []string{c.alpn}},
		})
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := server.Do(func(cc *core.Conn) {
			for _, in := range plugins.Attached(cc) {
				if !in.Attached() {
					t.Errorf("%s: %v", in.Plugin().Name(), in.Refusal())
				}
				got = append(got, strings.TrimPrefix(in.Plugin().Name(), "org.pquic."))
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s at %s has %v, want %v", c.alpn, c.sni, got, c.want)
		}
	}
}
