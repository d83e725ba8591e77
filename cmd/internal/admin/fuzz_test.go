package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzRequest: what is taken for a request has what its operation needs, means
// the same when written again, and what is refused is refused by an *Error.
func FuzzRequest(f *testing.F) {
	for _, line := range []string{
		`{"op":"list"}`, `{"op":"attach","connection":"7","plugin":"monitoring","options":{"interval":"1s"}}`,
		`{"op":"attach","plugin":"x.o","object":"f0VMRg=="}`, `{"op":"detach","plugin":"x","connection":"0011223344556677"}`,
		`{"op":"stats","connection":"all"}`, `{"op":"list"}{}`, `{"op":"list","x":1}`, `null`, `{"op":"attach","object":"!"}`, "",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRequest(line)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != CodeRequest {
				t.Fatalf("%v is no refusal of a request", err)
			}
			return
		}
		if !slices.Contains(ops, r.Op) || (r.Plugin != "") != (r.Op == OpAttach || r.Op == OpDetach) || r.Connection == "" {
			t.Fatalf("%+v", r)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRequest(b)
		if err != nil || again.Op != r.Op || again.Connection != r.Connection || again.Plugin != r.Plugin || !bytes.Equal(again.Object, r.Object) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestReadLine(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		lines []string
		fails bool
	}{
		{"a\nbb\n", 3, []string{"a", "bb"}, false},
		{"abc\n", 3, nil, true},
		{"abc", 10, nil, true},
		{strings.Repeat("x", 9999) + "\n", 10000, []string{strings.Repeat("x", 9999)}, false},
		{"\n\n", 1, []string{"", ""}, false},
	} {
		in := bufio.NewReaderSize(strings.NewReader(c.in), 16)
		for _, want := range c.lines {
			if got, err := readLine(in, c.limit); string(got) != want || err != nil {
				t.Errorf("%.20q: %.20q, %v", c.in, got, err)
			}
		}
		if _, err := readLine(in, c.limit); err == nil || c.fails == (err.Error() == "EOF") {
			t.Errorf("%.20q ends with %v", c.in, err)
		}
	}
}
