package http3_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

var helloHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("hello"))
})

// BenchmarkServerGet is a small GET at the server alone: the client's side is
// bytes made in advance. What the transport in memory allocates is reported by
// BenchmarkStream.
func BenchmarkServerGet(b *testing.B) {
	client, server := h3test.Pair(h3test.Config{})
	srv := &http3.Server{Handler: helloHandler}
	go func() { _ = srv.ServeConn(server) }()
	defer client.CloseWithError(0, "")
	request := get("user-agent: Mozilla/5.0 (X11; Linux x86_64)", "accept: */*", "accept-language: en-US,en;q=0.5",
		"accept-encoding: gzip, deflate, br, zstd", "cookie: a=1; b=2", "priority: u=1, i")
	buf := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, client, request, buf)
	}
}

// BenchmarkStream is the same without HTTP.
func BenchmarkStream(b *testing.B) {
	client, server := h3test.Pair(h3test.Config{})
	defer client.CloseWithError(0, "")
	go func() {
		buf := make([]byte, 1000)
		for {
			s, err := server.AcceptStream(server.Context())
			if err != nil {
				return
			}
			go func() {
				_, _ = s.Read(buf)
				_, _ = s.(http3.FinalWriter).WriteFinal(buf[:100])
			}()
		}
	}()
	request := make([]byte, 150)
	buf := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		exchange(b, client, request, buf)
	}
}

func exchange(b *testing.B, client *h3test.Conn, request, buf []byte) {
	s, err := client.OpenStream(client.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.(http3.FinalWriter).WriteFinal(request); err != nil {
		b.Fatal(err)
	}
	for {
		if _, err := s.Read(buf); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet is a small GET at both ends.
func BenchmarkGet(b *testing.B) {
	client, server := h3test.Pair(h3test.Config{})
	srv := &http3.Server{Handler: helloHandler}
	go func() { _ = srv.ServeConn(server) }()
	cc := (&http3.Transport{DisableCompression: true}).NewClientConn(client)
	defer cc.Close()
	benchmarkGet(b, cc, "https://example.com/path")
}

// BenchmarkUDPGet is a small GET over loopback.
func BenchmarkUDPGet(b *testing.B) {
	addr, tr := udpPair(b, helloHandler)
	benchmarkGet(b, tr, "https://"+addr+"/path")
}

func benchmarkGet(b *testing.B, rt http.RoundTripper, url string) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := rt.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

// BenchmarkUDPDownload is 100 MB in one response over loopback.
func BenchmarkUDPDownload(b *testing.B) {
	const size = 100 << 20
	addr, tr := udpPair(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "104857600")
		_, _ = io.Copy(w, &zeros{size})
	}))
	req, err := http.NewRequest("GET", "https://"+addr+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
			b.Fatal(n, err)
		}
		_ = resp.Body.Close()
	}
}

// udpPair serves h on loopback and returns the address and a client.
func udpPair(b *testing.B, h http.Handler) (string, *http3.Transport) {
	b.Helper()
	addr := listenUDP(b, &http3.Server{Handler: h}, &hoststack.Config{})
	tr := &http3.Transport{TLSClientConfig: clientTLS(b), DisableCompression: true}
	b.Cleanup(func() { _ = tr.Close() })
	return addr, tr
}
