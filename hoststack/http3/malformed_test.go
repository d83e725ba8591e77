package http3_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// readAllHandler answers 200 after it has read the request's content.
var readAllHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
})

// TestRequestRules sends header sections that are right or malformed.
func TestRequestRules(t *testing.T) {
	const m, s, a, p = ":method: GET", ":scheme: https", ":authority: example.com", ":path: /"
	for _, c := range []struct {
		name  string
		lines []string
		ok    bool
	}{
		{"plain", []string{m, s, a, p}, true},
		{"any order of pseudo-headers", []string{p, a, s, m}, true},
		{"host instead of authority", []string{m, s, p, "host: example.com"}, true},
		{"authority equal to host", []string{m, s, a, p, "host: example.com"}, true},
		{"te: trailers", []string{m, s, a, p, "te: trailers"}, true},
		{"options *", []string{":method: OPTIONS", s, a, ":path: *"}, true},
		{"other scheme without authority", []string{m, ":scheme: urn", ":path: x:y"}, false},
		{"equal content-lengths", []string{m, s, a, p, "content-length: 0", "content-length: 0"}, true},
		{"connect", []string{":method: CONNECT", ":authority: example.com:443"}, true},
		{"empty value", []string{m, s, a, p, "x-empty: "}, true},
		{"obs-text", []string{m, s, a, p, "x-latin: caf\xe9"}, true},

		{"nothing", []string{"x: y"}, false},
		{"no method", []string{s, a, p}, false},
		{"no scheme", []string{m, a, p}, false},
		{"no path", []string{m, s, a}, false},
		{"no authority", []string{m, s, p}, false},
		{"empty method", []string{":method: ", s, a, p}, false},
		{"empty scheme", []string{m, ":scheme: ", a, p}, false},
		{"empty authority", []string{m, s, ":authority: ", p}, false},
		{"empty path", []string{m, s, a, ":path: "}, false},
		{"empty host", []string{m, s, p, "host: "}, false},
		{"method twice", []string{m, m, s, a, p}, false},
		{"path twice", []string{m, s, a, p, p}, false},
		{"unknown pseudo-header", []string{m, s, a, p, ":x: y"}, false},
		{"status in a request", []string{m, s, a, p, ":status: 200"}, false},
		{"protocol not announced", []string{":method: CONNECT", s, a, p, ":protocol: websocket"}, false},
		{"protocol with get", []string{m, s, a, p, ":protocol: websocket"}, false},
		{"pseudo-header after field", []string{m, s, a, "x: y", p}, false},
		{"uppercase name", []string{m, s, a, p, "X-Upper: y"}, false},
		{"space in name", []string{m, s, a, p, "x y: z"}, false},
		{"empty name", []string{m, s, a, p, " : z"}, false},
		{"non-ASCII name", []string{m, s, a, p, "caf\xc3\xa9: z"}, false},
		{"line feed in value", []string{m, s, a, p, "x: a\nb"}, false},
		{"carriage return in value", []string{m, s, a, p, "x: a\rb"}, false},
		{"zero in value", []string{m, s, a, p, "x: a\x00b"}, false},
		{"delete in value", []string{m, s, a, p, "x: a\x7fb"}, false},
		{"line feed in path", []string{m, s, a, ":path: /a\nb"}, false},
		{"connection", []string{m, s, a, p, "connection: close"}, false},
		{"keep-alive", []string{m, s, a, p, "keep-alive: 5"}, false},
		{"proxy-connection", []string{m, s, a, p, "proxy-connection: close"}, false},
		{"transfer-encoding", []string{m, s, a, p, "transfer-encoding: chunked"}, false},
		{"upgrade", []string{m, s, a, p, "upgrade: h2c"}, false},
		{"te: gzip", []string{m, s, a, p, "te: gzip"}, false},
		{"authority differs from host", []string{m, s, a, p, "host: example.org"}, false},
		{"two hosts", []string{m, s, p, "host: example.com", "host: example.org"}, false},
		{"userinfo", []string{m, s, ":authority: user@example.com", p}, false},
		{"space in authority", []string{m, s, ":authority: exa mple.com", p}, false},
		{"slash in authority", []string{m, s, ":authority: example.com/", p}, false},
		{"bad method", []string{":method: GE T", s, a, p}, false},
		{"bad scheme", []string{m, ":scheme: ht tp", a, p}, false},
		{"relative path", []string{m, s, a, ":path: index.html"}, false},
		{"* with get", []string{m, s, a, ":path: *"}, false},
		{"bad escape in path", []string{m, s, a, ":path: /%zz"}, false},
		{"content-length not a number", []string{m, s, a, p, "content-length: x"}, false},
		{"negative content-length", []string{m, s, a, p, "content-length: -1"}, false},
		{"signed content-length", []string{m, s, a, p, "content-length: +1"}, false},
		{"huge content-length", []string{m, s, a, p, "content-length: 99999999999999999999"}, false},
		{"list content-length", []string{m, s, a, p, "content-length: 0, 0"}, false},
		{"different content-lengths", []string{m, s, a, p, "content-length: 0", "content-length: 1"}, false},
		{"content-length without content", []string{m, s, a, p, "content-length: 1"}, false},
		{"connect with path", []string{":method: CONNECT", a, p}, false},
		{"connect with scheme", []string{":method: CONNECT", s, a}, false},
		{"connect without authority", []string{":method: CONNECT"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := append([]string(nil), c.lines...)
			for i, l := range lines {
				if strings.HasPrefix(l, " : ") {
					lines[i] = "x: y" // section cannot express an empty name; done below
				}
			}
			b := headers(lines...)
			if c.name == "empty name" {
				// A literal with an empty name: 0010 0000, then the value "z".
				b = frame(http3.FrameHeaders, cat(section(m, s, a, p), []byte{0x20, 0x01, 'z'}))
			}
			conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
			s := openBidi(t, conn, b, true)
			if c.ok {
				wantStatus(t, c.name, s, "200")
			} else {
				wantReset(t, c.name, s, http3.CodeMessageError)
			}
			// The connection survives either way.
			wantStatus(t, "the next request", openBidi(t, conn, get(), true), "200")
		})
	}
}

// TestRequestFrames sends sequences of frames on a request stream.
func TestRequestFrames(t *testing.T) {
	data := func(n int) []byte { return frame(http3.FrameData, make([]byte, n)) }
	grease := frame(0x21+0x1f*7, []byte("anything"))
	type outcome struct {
		status string
		stream http3.ErrCode
		conn   http3.ErrCode
	}
	ok := outcome{status: "200"}
	for _, c := range []struct {
		name string
		b    []byte
		want outcome
	}{
		{"content", cat(get(), data(5), data(0), data(7)), ok},
		{"content of the declared length", cat(get("content-length: 12"), data(5), data(7)), ok},
		{"trailers", cat(get(), data(5), headers("sum: x")), ok},
		{"trailers only", cat(get(), headers("sum: x")), ok},
		{"reserved frames everywhere", cat(grease, get(), grease, data(3), grease, headers("sum: x"), grease), ok},
		{"empty reserved frame of a long type", cat(frame(0x21+0x1f*(1<<40), nil), get()), ok},

		{"nothing", nil, outcome{stream: http3.CodeRequestIncomplete}},
		{"only reserved frames", grease, outcome{stream: http3.CodeRequestIncomplete}},
		{"less content than declared", cat(get("content-length: 12"), data(5)), outcome{stream: http3.CodeMessageError}},
		{"more content than declared", cat(get("content-length: 4"), data(5)), outcome{stream: http3.CodeMessageError}},
		{"pseudo-header in trailers", cat(get(), data(1), headers(":path: /")), outcome{stream: http3.CodeMessageError}},
		{"uppercase in trailers", cat(get(), headers("Sum: x")), outcome{stream: http3.CodeMessageError}},

		{"data before headers", cat(data(1), get()), outcome{conn: http3.CodeFrameUnexpected}},
		{"data after trailers", cat(get(), headers("a: b"), data(1)), outcome{conn: http3.CodeFrameUnexpected}},
		{"headers after trailers", cat(get(), headers("a: b"), headers("a: b")), outcome{conn: http3.CodeFrameUnexpected}},
		{"settings", cat(get(), frame(http3.FrameSettings, nil)), outcome{conn: http3.CodeFrameUnexpected}},
		{"settings first", frame(http3.FrameSettings, nil), outcome{conn: http3.CodeFrameUnexpected}},
		{"goaway", cat(get(), frame(http3.FrameGoAway, varints(0))), outcome{conn: http3.CodeFrameUnexpected}},
		{"max_push_id", cat(get(), frame(http3.FrameMaxPushID, varints(0))), outcome{conn: http3.CodeFrameUnexpected}},
		{"cancel_push", cat(get(), frame(http3.FrameCancelPush, varints(0))), outcome{conn: http3.CodeFrameUnexpected}},
		{"push_promise", cat(get(), frame(http3.FramePushPromise, varints(0))), outcome{conn: http3.CodeFrameUnexpected}},
		{"priority_update", cat(get(), frame(http3.FramePriorityUpdateRequest, varints(0))), outcome{conn: http3.CodeFrameUnexpected}},
		{"HTTP/2 PRIORITY", cat(get(), frame(0x02, nil)), outcome{conn: http3.CodeFrameUnexpected}},
		{"HTTP/2 PING", cat(frame(0x06, nil), get()), outcome{conn: http3.CodeFrameUnexpected}},
		{"HTTP/2 WINDOW_UPDATE", cat(get(), frame(0x08, nil)), outcome{conn: http3.CodeFrameUnexpected}},
		{"HTTP/2 CONTINUATION", cat(get(), frame(0x09, nil)), outcome{conn: http3.CodeFrameUnexpected}},
		{"truncated frame type", cat(get(), []byte{0x40}), outcome{conn: http3.CodeFrameError}},
		{"truncated frame length", cat(get(), []byte{0x00}), outcome{conn: http3.CodeFrameError}},
		{"truncated long length", cat(get(), []byte{0x00, 0x80, 0x00}), outcome{conn: http3.CodeFrameError}},
		{"truncated headers", get()[:10], outcome{conn: http3.CodeFrameError}},
		{"truncated data", cat(get(), data(10)[:6]), outcome{conn: http3.CodeFrameError}},
		{"truncated reserved frame", cat(get(), grease[:4]), outcome{conn: http3.CodeFrameError}},

		{"garbage instead of QPACK", frame(http3.FrameHeaders, []byte{0, 0, 0xff, 0xff, 0xff}), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"empty section", frame(http3.FrameHeaders, nil), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"required insert count", frame(http3.FrameHeaders, []byte{1, 0, 0xd1}), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"dynamic table reference", frame(http3.FrameHeaders, []byte{0, 0, 0x80}), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"static index out of range", frame(http3.FrameHeaders, []byte{0, 0, 0xff, 0x40}), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"garbage in trailers", cat(get(), frame(http3.FrameHeaders, []byte{0, 0, 0x80})), outcome{conn: http3.CodeQPACKDecompressionFailed}},
		{"too many empty frames", cat(get(), []byte(strings.Repeat("\x00\x00", 3000))), outcome{conn: http3.CodeExcessiveLoad}},
		{"too many reserved frames", []byte(strings.Repeat("\x21\x00", 3000)), outcome{conn: http3.CodeExcessiveLoad}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
			s := openBidi(t, conn, c.b, true)
			switch {
			case c.want.status != "":
				wantStatus(t, c.name, s, c.want.status)
			case c.want.stream != 0:
				wantReset(t, c.name, s, c.want.stream)
			default:
				wantConnError(t, c.name, conn, c.want.conn)
			}
		})
	}
}

// uniCases are unidirectional streams; want 0 means that the connection goes
// on.
type uniCase struct {
	name    string
	streams [][]byte
	fin     bool // end the last stream
	want    http3.ErrCode
}

func uniCases(isServer bool) []uniCase {
	push, maxPush, prio := http3.CodeIDError, http3.CodeFrameUnexpected, http3.CodeFrameUnexpected
	if isServer {
		push, maxPush, prio = http3.CodeStreamCreationError, 0, 0
	}
	f := frame
	setting := func(v ...uint64) []byte { return cat(varints(0), f(http3.FrameSettings, varints(v...))) }
	return []uniCase{
		{"settings", [][]byte{control()}, false, 0},
		{"settings with reserved and unknown ones", [][]byte{setting(0x21, 5, 0x4242, 7, 6, 1000, 8, 1, 0x33, 0)}, false, 0},
		{"reserved frames", [][]byte{control(f(0x21, nil), f(0x21+0x1f*99, []byte("x")))}, false, 0},
		{"goaway", [][]byte{control(f(http3.FrameGoAway, varints(8)), f(http3.FrameGoAway, varints(4)))}, false, 0},
		{"reserved stream type", [][]byte{cat(varints(0x21+0x1f*3), []byte("whatever"))}, false, 0},
		{"unknown stream type", [][]byte{varints(0x54, 1)}, true, 0},
		{"stream closed before its type", [][]byte{nil}, true, 0},
		{"stream closed inside its type", [][]byte{{0x40}}, true, 0},
		{"qpack streams", [][]byte{control(), varints(2), varints(3)}, false, 0},
		{"qpack capacity 0", [][]byte{{2, 0x20}}, false, 0},
		{"qpack stream cancellation", [][]byte{{3, 0x44, 0x7f, 0x01}}, false, 0},
		{"max_push_id", [][]byte{control(f(http3.FrameMaxPushID, varints(3)), f(http3.FrameMaxPushID, varints(3)))}, false, maxPush},
		{"priority_update", [][]byte{control(f(http3.FramePriorityUpdateRequest, cat(varints(0), []byte("u=1, i"))))}, false, prio},

		{"no settings", [][]byte{cat(varints(0), f(http3.FrameGoAway, varints(0)))}, false, http3.CodeMissingSettings},
		{"reserved frame before settings", [][]byte{cat(varints(0), f(0x21, nil))}, false, http3.CodeMissingSettings},
		{"settings twice", [][]byte{control(f(http3.FrameSettings, nil))}, false, http3.CodeFrameUnexpected},
		{"setting twice", [][]byte{setting(6, 100, 6, 100)}, false, http3.CodeSettingsError},
		{"HTTP/2 setting", [][]byte{setting(2, 0)}, false, http3.CodeSettingsError},
		{"HTTP/2 setting 5", [][]byte{setting(5, 16384)}, false, http3.CodeSettingsError},
		{"connect protocol 2", [][]byte{setting(8, 2)}, false, http3.CodeSettingsError},
		{"h3 datagram 2", [][]byte{setting(0x33, 2)}, false, http3.CodeSettingsError},
		{"half a setting", [][]byte{setting(6)}, false, http3.CodeFrameError},
		{"huge settings", [][]byte{cat(varints(0, 4, 1<<20))}, false, http3.CodeExcessiveLoad},
		{"data", [][]byte{control(f(http3.FrameData, []byte("x")))}, false, http3.CodeFrameUnexpected},
		{"headers", [][]byte{control(get())}, false, http3.CodeFrameUnexpected},
		{"push_promise", [][]byte{control(f(http3.FramePushPromise, varints(0)))}, false, http3.CodeFrameUnexpected},
		{"HTTP/2 PING", [][]byte{control(f(0x06, nil))}, false, http3.CodeFrameUnexpected},
		{"cancel_push", [][]byte{control(f(http3.FrameCancelPush, varints(0)))}, false, http3.CodeIDError},
		{"goaway grows", [][]byte{control(f(http3.FrameGoAway, varints(4)), f(http3.FrameGoAway, varints(8)))}, false, http3.CodeIDError},
		{"empty goaway", [][]byte{control(f(http3.FrameGoAway, nil))}, false, http3.CodeFrameError},
		{"long goaway", [][]byte{control(f(http3.FrameGoAway, varints(4, 4)))}, false, http3.CodeFrameError},
		{"endless goaway", [][]byte{control(varints(7, 1<<40))}, false, http3.CodeFrameError},
		{"two control streams", [][]byte{control(), control()}, false, http3.CodeStreamCreationError},
		{"two encoder streams", [][]byte{varints(2), varints(2)}, false, http3.CodeStreamCreationError},
		{"two decoder streams", [][]byte{varints(3), varints(3)}, false, http3.CodeStreamCreationError},
		{"control stream ends", [][]byte{control()}, true, http3.CodeClosedCriticalStream},
		{"control stream ends before settings", [][]byte{varints(0)}, true, http3.CodeClosedCriticalStream},
		{"control stream ends inside a frame", [][]byte{control([]byte{0x07})}, true, http3.CodeFrameError},
		{"encoder stream ends", [][]byte{varints(2)}, true, http3.CodeClosedCriticalStream},
		{"decoder stream ends", [][]byte{varints(3)}, true, http3.CodeClosedCriticalStream},
		{"qpack capacity 1", [][]byte{{2, 0x21}}, false, http3.CodeQPACKEncoderStreamError},
		{"qpack insert", [][]byte{{2, 0xc0, 0x00}}, false, http3.CodeQPACKEncoderStreamError},
		{"qpack insert literal", [][]byte{{2, 0x40}}, false, http3.CodeQPACKEncoderStreamError},
		{"qpack duplicate", [][]byte{{2, 0x00}}, false, http3.CodeQPACKEncoderStreamError},
		{"qpack insert count increment", [][]byte{{3, 0x01}}, false, http3.CodeQPACKDecoderStreamError},
		{"qpack section acknowledgment", [][]byte{{3, 0x84}}, false, http3.CodeQPACKDecoderStreamError},
		{"qpack endless integer", [][]byte{{3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, false, http3.CodeGeneralProtocolError},
		{"push stream", [][]byte{varints(1, 0)}, false, push},
	}
}

// TestServerUniStreams and TestClientUniStreams feed each role the same
// unidirectional streams.
func TestServerUniStreams(t *testing.T) {
	cases := append(uniCases(true),
		uniCase{"max_push_id shrinks", [][]byte{control(frame(http3.FrameMaxPushID, varints(3)), frame(http3.FrameMaxPushID, varints(2)))}, false, http3.CodeIDError},
		uniCase{"priority of a push", [][]byte{control(frame(http3.FramePriorityUpdatePush, varints(0)))}, false, http3.CodeIDError},
		uniCase{"priority of no request stream", [][]byte{control(frame(http3.FramePriorityUpdateRequest, varints(2)))}, false, http3.CodeIDError},
		uniCase{"priority without ID", [][]byte{control(frame(http3.FramePriorityUpdateRequest, nil))}, false, http3.CodeFrameError},
		uniCase{"endless priority", [][]byte{control(varints(0xf0700, 1<<30))}, false, http3.CodeFrameError},
		uniCase{"priority that is no dictionary", [][]byte{control(frame(http3.FramePriorityUpdateRequest, cat(varints(0), []byte("u=,"))))}, false, 0},
		uniCase{"goaway of a push ID", [][]byte{control(frame(http3.FrameGoAway, varints(3)))}, false, 0},
	)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
			play(t, conn, c)
			if c.want == 0 {
				wantStatus(t, "a request afterwards", openBidi(t, conn, get(), true), "200")
			}
		})
	}
}

func TestClientUniStreams(t *testing.T) {
	cases := append(uniCases(false),
		uniCase{"goaway of no request stream", [][]byte{control(frame(http3.FrameGoAway, varints(3)))}, false, http3.CodeIDError})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			client, server := h3test.Pair(h3test.Config{})
			cc := new(http3.Transport).NewClientConn(client)
			defer cc.Close()
			goAway := strings.HasPrefix(c.name, "goaway")
			if goAway {
				// An open request keeps the connection from being done.
				go func() { _, _ = cc.RoundTrip(newRequest(t, "GET", nil)) }()
				if _, err := server.AcceptStream(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			play(t, server, c)
			if c.want == 0 && !goAway {
				go answer(t, server, headers(":status: 204"))
				if resp, _ := do(t, cc, newRequest(t, "GET", nil)); resp.StatusCode != 204 {
					t.Errorf("a request afterwards: status %d", resp.StatusCode)
				}
			}
		})
	}
}

// play opens the case's streams and checks how the connection takes it.
func play(t *testing.T, conn *h3test.Conn, c uniCase) {
	t.Helper()
	var last http3.Stream
	for _, b := range c.streams {
		last = openUni(t, conn, b)
	}
	if c.fin {
		_ = last.CloseWrite()
	}
	if c.want != 0 {
		wantConnError(t, c.name, conn, c.want)
	}
}

// answer accepts one request stream and writes b, then ends it.
func answer(t *testing.T, server *h3test.Conn, b []byte) {
	s, err := server.AcceptStream(t.Context())
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, s)
	_, _ = s.Write(b)
	_ = s.CloseWrite()
}

// TestResponseRules answers a client with responses that are right or wrong.
func TestResponseRules(t *testing.T) {
	data := func(n int) []byte { return frame(http3.FrameData, make([]byte, n)) }
	ok := headers(":status: 200")
	for _, c := range []struct {
		name   string
		method string
		b      []byte
		stream http3.ErrCode // the request fails with it
		conn   http3.ErrCode
	}{
		{"plain", "GET", cat(ok, data(3)), 0, 0},
		{"interim first", "GET", cat(headers(":status: 103", "link: x"), headers(":status: 100"), ok), 0, 0},
		{"trailers", "GET", cat(ok, data(3), headers("sum: 1")), 0, 0},
		{"content-length", "GET", cat(headers(":status: 200", "content-length: 3"), data(1), data(2)), 0, 0},
		{"head with length", "HEAD", headers(":status: 200", "content-length: 3"), 0, 0},
		{"304 with length", "GET", headers(":status: 304", "content-length: 3"), 0, 0},
		{"unknown status", "GET", headers(":status: 799"), 0, 0},
		{"reserved frames", "GET", cat(frame(0x21, nil), ok, frame(0x40, []byte("x")), data(1)), 0, 0},

		{"nothing", "GET", nil, http3.CodeMessageError, 0},
		{"only interim", "GET", headers(":status: 103"), http3.CodeMessageError, 0},
		{"no status", "GET", headers("x: y"), http3.CodeMessageError, 0},
		{"status twice", "GET", headers(":status: 200", ":status: 200"), http3.CodeMessageError, 0},
		{"status late", "GET", headers("x: y", ":status: 200"), http3.CodeMessageError, 0},
		{"status 20", "GET", headers(":status: 20"), http3.CodeMessageError, 0},
		{"status 099", "GET", headers(":status: 099"), http3.CodeMessageError, 0},
		{"status 2x0", "GET", headers(":status: 2x0"), http3.CodeMessageError, 0},
		{"status 101", "GET", headers(":status: 101"), http3.CodeMessageError, 0},
		{"request pseudo-header", "GET", headers(":status: 200", ":path: /"), http3.CodeMessageError, 0},
		{"uppercase", "GET", headers(":status: 200", "X: y"), http3.CodeMessageError, 0},
		{"connection", "GET", headers(":status: 200", "connection: close"), http3.CodeMessageError, 0},
		{"content too long", "GET", cat(headers(":status: 200", "content-length: 3"), data(4)), http3.CodeMessageError, 0},
		{"content too short", "GET", cat(headers(":status: 200", "content-length: 3"), data(2)), http3.CodeMessageError, 0},
		{"contradicting lengths", "GET", headers(":status: 200", "content-length: 3", "content-length: 4"), http3.CodeMessageError, 0},
		{"head with content", "HEAD", cat(ok, data(1)), http3.CodeMessageError, 0},
		{"204 with content", "GET", cat(headers(":status: 204"), data(1)), http3.CodeMessageError, 0},
		{"pseudo-header in trailers", "GET", cat(ok, headers(":status: 200")), http3.CodeMessageError, 0},
		{"endless interim", "GET", []byte(strings.Repeat(string(headers(":status: 103")), 100)), http3.CodeMessageError, 0},

		{"data first", "GET", cat(data(1), ok), 0, http3.CodeFrameUnexpected},
		{"data after interim", "GET", cat(headers(":status: 103"), data(1)), 0, http3.CodeFrameUnexpected},
		{"data after trailers", "GET", cat(ok, headers("a: b"), data(1)), 0, http3.CodeFrameUnexpected},
		{"push_promise", "GET", cat(ok, frame(http3.FramePushPromise, varints(0))), 0, http3.CodeIDError},
		{"settings", "GET", cat(ok, frame(http3.FrameSettings, nil)), 0, http3.CodeFrameUnexpected},
		{"goaway", "GET", cat(ok, frame(http3.FrameGoAway, varints(0))), 0, http3.CodeFrameUnexpected},
		{"truncated", "GET", cat(ok, data(5)[:4]), 0, http3.CodeFrameError},
		{"bad QPACK", "GET", frame(http3.FrameHeaders, []byte{0, 0, 0x80}), 0, http3.CodeQPACKDecompressionFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := h3test.Pair(h3test.Config{})
			cc := new(http3.Transport).NewClientConn(client)
			defer cc.Close()
			go answer(t, server, c.b)
			resp, err := cc.RoundTrip(newRequest(t, c.method, nil))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			switch {
			case c.conn != 0:
				if code, _ := http3.CodeOf(err); code != c.conn {
					t.Errorf("request ended with %v, want %v", err, c.conn)
				}
				wantConnError(t, c.name, server, c.conn)
			case c.stream != 0:
				if code, _ := http3.CodeOf(err); code != c.stream {
					t.Errorf("request ended with %v, want %v", err, c.stream)
				}
				if client.Context().Err() != nil {
					t.Errorf("the connection ended too: %v", client.Context().Err())
				}
			case err != nil:
				t.Errorf("request ended with %v", err)
			}
		})
	}
}

func TestServerBidiStream(t *testing.T) {
	client, server := h3test.Pair(h3test.Config{})
	cc := new(http3.Transport).NewClientConn(client)
	defer cc.Close()
	if _, err := server.OpenStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantConnError(t, "a bidirectional stream of the server", server, http3.CodeStreamCreationError)
}

// TestControlStreamStopped: this end's control stream may not be stopped
// either.
func TestControlStreamStopped(t *testing.T) {
	conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
	s, err := conn.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Its settings must have been sent, or there was nothing to stop.
	if typ := readVarint(t, s); typ != 0 {
		t.Fatalf("the server's first unidirectional stream has type %d", typ)
	}
	if typ, _ := readFrame(t, s); typ != http3.FrameSettings {
		t.Fatalf("the control stream begins with %v", typ)
	}
	s.CancelRead(0)
	wantConnError(t, "STOP_SENDING on the control stream", conn, http3.CodeClosedCriticalStream)
}

// TestHeaderLimit: sections that are too long, encoded or decoded.
func TestHeaderLimit(t *testing.T) {
	srv := &http3.Server{Handler: readAllHandler, MaxHeaderBytes: 4000}
	conn := serve(t, srv, h3test.Config{})
	long := strings.Repeat("x", 5000)
	bomb := section(":method: GET", ":scheme: https", ":authority: example.com", ":path: /")
	for range 1000 {
		bomb = append(bomb, 0xc0|55) // two bytes become "content-security-policy"-like fields
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"within", get("x: " + long[:3000]), "200"},
		{"long value", get("x: " + long), "431"},
		{"repeated static fields", frame(http3.FrameHeaders, bomb), "431"},
		{"endless frame", varints(1, 1<<40), "431"},
		{"long trailers", nil, "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "reset" {
				b := cat(get(), headers("x: "+long))
				s := openBidi(t, conn, b, true)
				// The handler ignores the error of its reading and answers.
				wantStatus(t, c.name, s, "200")
				return
			}
			wantStatus(t, c.name, openBidi(t, conn, c.b, true), c.want)
		})
	}
	t.Run("client", func(t *testing.T) {
		tr := handlerTransport(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", long) })
		tr.MaxResponseHeaderBytes = 4000
		if _, err := tr.RoundTrip(newRequest(t, "GET", nil)); err == nil || !strings.Contains(err.Error(), "4000 bytes") {
			t.Errorf("a long response header: %v", err)
		}
	})
	t.Run("client before sending", func(t *testing.T) {
		tr := transport(t, srv, h3test.Config{})
		do(t, tr, newRequest(t, "GET", nil)) // the settings arrived with it, or soon
		req := newRequest(t, "GET", nil)
		req.Header.Set("X", long)
		resp, err := tr.RoundTrip(req)
		if err == nil && resp.StatusCode != 431 || err != nil && !strings.Contains(err.Error(), "the server accepts 4000") {
			t.Errorf("a long request header: %v, %v", resp, err)
		}
	})
}

// TestClientRefusesToSend: requests that HTTP/3 cannot carry fail without a
// connection.
func TestClientRefusesToSend(t *testing.T) {
	tr := &http3.Transport{Dial: nil}
	for name, change := range map[string]func(*http.Request){
		"http":             func(r *http.Request) { r.URL.Scheme = "http" },
		"no host":          func(r *http.Request) { r.URL.Host = "" },
		"non-ASCII host":   func(r *http.Request) { r.URL.Host = "bücher.example" },
		"method":           func(r *http.Request) { r.Method = "GE T" },
		"field name":       func(r *http.Request) { r.Header["Bad Name"] = []string{"x"} },
		"field value":      func(r *http.Request) { r.Header["X"] = []string{"a\nb"} },
		"no URL":           func(r *http.Request) { r.URL = nil },
		"connect and http": func(r *http.Request) { r.Method = "CONNECT"; r.URL.Scheme = "http" },
	} {
		body := newCountingBody("x")
		req := newRequest(t, "POST", body)
		change(req)
		if _, err := tr.RoundTrip(req); err == nil || !strings.HasPrefix(err.Error(), "http3: ") {
			t.Errorf("%s: error is %v", name, err)
		}
		<-body.closedC
	}
	tr = handlerTransport(t, readAllHandler)
	for name, change := range map[string]func(*http.Request){
		"host":     func(r *http.Request) { r.Host = "a b" },
		"path":     func(r *http.Request) { r.URL.Opaque = "xyz" },
		"protocol": func(r *http.Request) { r.Header[":protocol"] = []string{"x"} },
	} {
		req := newRequest(t, "GET", nil)
		change(req)
		if _, err := tr.RoundTrip(req); err == nil || !strings.HasPrefix(err.Error(), "http3: ") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&http3.StreamError{Code: http3.CodeRequestCancelled, Remote: true}, "http3: stream ended by the peer with H3_REQUEST_CANCELLED"},
		{&http3.ConnError{Code: http3.CodeIDError, Reason: "why"}, "http3: connection ended with H3_ID_ERROR: why"},
		{&http3.ConnError{Code: 0x21}, "http3: connection ended with 0x21"},
	} {
		if got := fmt.Sprint(c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
