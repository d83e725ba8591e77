package cmdtest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// flowLines returns the flow records in a file of JSON lines.
func flowLines(t *testing.T, file string) (records []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	for lines.Scan() {
		var r map[string]any
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		records = append(records, r)
	}
	return records
}

// The records of plugin monitoring arrive at every sink of both programs.
func TestFlows(t *testing.T) {
	collector, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	dir := t.TempDir()
	serverFile, clientFile := filepath.Join(dir, "server.jsonl"), filepath.Join(dir, "client.jsonl")
	s := serve(t, "--flows", serverFile, "--ipfix", collector.LocalAddr().String(), "--metrics", "127.0.0.1:0")
	base := regexp.MustCompile(`status page on (http://\S+/)`).FindStringSubmatch(s.output())[1]
	s.put("file", randomBytes(1_000_000))
	run(t, "pquic-client", "--pin", s.pin, "--output", dir, "--flows", clientFile, s.url("file")).wantSuccess(t)

	_, page := get(t, http.DefaultClient, base+"flows")
	if !strings.Contains(page, "flows.json?since=") {
		t.Errorf("the page of connections: %.200s", page)
	}
	if r, _ := get(t, http.DefaultClient, base+"flows.json?since=x"); r.StatusCode != http.StatusBadRequest {
		t.Errorf("since=x: status %d", r.StatusCode)
	}
	var view struct {
		Last  uint64
		Flows []struct {
			Remote  string
			Samples [][]float64
		}
	}
	text := ""
	for range 1000 { // the records pass through a queue
		if _, text = get(t, http.DefaultClient, base+"flows.json"); strings.Contains(text, `"samples":[[`) {
			break
		}
	}
	if err := json.Unmarshal([]byte(text), &view); err != nil {
		t.Fatal(err)
	}
	if len(view.Flows) != 1 || len(view.Flows[0].Samples) == 0 || len(view.Flows[0].Samples[0]) != 5 {
		t.Errorf("flows.json: %s", text)
	}
	_, text = get(t, http.DefaultClient, base+"flows.json?since="+strconv.FormatUint(view.Last+1000, 10))
	if !strings.Contains(text, `"samples":[]`) {
		t.Errorf("newer than all: %s", text)
	}
	_, metrics := get(t, http.DefaultClient, base+"metrics")
	checkPrometheus(t, metrics)
	for _, want := range []string{`pquic_flow_records_total{state="established"} 1`, "pquic_flow_rtt_seconds_bucket{", "pquic_flow_records_dropped_total 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	s.end()

	for _, c := range []struct{ file, data string }{{serverFile, "data_sent"}, {clientFile, "data_received"}} {
		records := flowLines(t, c.file)
		if len(records) < 3 {
			t.Fatalf("%s: %d records", c.file, len(records))
		}
		first, last := records[0], records[len(records)-1]
		if first["state"] != "new" || last["state"] != "finished" {
			t.Errorf("%s: from %v to %v", c.file, first["state"], last["state"])
		}
		if n, _ := last[c.data].(float64); n < 1_000_000 {
			t.Errorf("%s: %s is %v", c.file, c.data, last[c.data])
		}
	}
	// The socket's buffer has held what the server sent; it sent all before it ended.
	b := make([]byte, 1<<16)
	n, _, err := collector.ReadFrom(b)
	if err != nil || n < 20 || binary.BigEndian.Uint16(b) != 10 || binary.BigEndian.Uint16(b[16:]) != 2 {
		t.Errorf("the first message to the IPFIX collector, of %d bytes: %x, %v", n, b[:min(n, 20)], err)
	}
}

func TestFlowsUnwritable(t *testing.T) {
	dir := t.TempDir()
	run(t, "pquic-server", "--www", dir, "--flows", dir).wantFailure(t, 1, "--flows: open "+dir+": is a directory")
	run(t, "pquic-server", "--www", dir, "--ipfix", "name.invalid:4739").wantFailure(t, 1, "--ipfix name.invalid:4739: ")
	run(t, "pquic-server", "--www", dir, "--ipfix", "nowhere").wantFailure(t, 2, "want HOST:PORT")
}
