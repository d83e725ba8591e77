package qlog

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestQvisLoads does what qvis does with a .sqlog file: it splits the file at
// record separators, checks the header, and looks up the events that its
// diagrams draw, with the fields they read.
func TestQvisLoads(t *testing.T) {
	var out bytes.Buffer
	everyEvent(t, newTrace(t, &out, Qvis))

	var texts []map[string]any
	for text := range strings.SplitSeq(out.String(), "\x1e") {
		if text == "" {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, v)
	}
	header, events := texts[0], texts[1:]
	if header["qlog_version"] != "0.3" || header["qlog_format"] != "JSON-SEQ" {
		t.Errorf("header: %v", header)
	}
	trace := header["trace"].(map[string]any)
	if trace["vantage_point"].(map[string]any)["type"] != "server" || trace["common_fields"] == nil {
		t.Errorf("trace: %v", trace)
	}

	lookup := map[string][]map[string]any{}
	last := -1.0
	for _, ev := range events {
		name := strings.Split(ev["name"].(string), ":")
		if len(name) != 2 {
			t.Errorf("name %v", ev["name"])
		}
		lookup[ev["name"].(string)] = append(lookup[ev["name"].(string)], ev["data"].(map[string]any))
		if at := ev["time"].(float64); at < last {
			t.Errorf("time %v after %v", at, last)
		} else {
			last = at
		}
	}

	var streamFrames, ackFrames int
	for _, name := range []string{"transport:packet_sent", "transport:packet_received"} {
		for _, data := range lookup[name] {
			h, raw := data["header"].(map[string]any), data["raw"].(map[string]any)
			if h["packet_type"] == nil || raw["length"] == nil {
				t.Errorf("%s: %v", name, data)
			}
			frames, _ := data["frames"].([]any)
			for _, f := range frames {
				f := f.(map[string]any)
				switch f["frame_type"] {
				case "stream":
					streamFrames++
					if f["length"] == nil || f["offset"] == nil || f["stream_id"] == nil {
						t.Errorf("stream frame %v", f)
					}
				case "ack":
					ackFrames++
					for _, r := range f["acked_ranges"].([]any) {
						if n := len(r.([]any)); n != 1 && n != 2 {
							t.Errorf("ack frame %v", f)
						}
					}
				}
			}
		}
	}
	if streamFrames != 4 || ackFrames != 5 {
		t.Errorf("%d stream and %d ack frames", streamFrames, ackFrames)
	}
	var metrics []string
	for _, data := range lookup["recovery:metrics_updated"] {
		for k := range data {
			metrics = append(metrics, k)
		}
	}
	for _, want := range []string{"bytes_in_flight", "congestion_window", "min_rtt", "smoothed_rtt", "latest_rtt"} {
		if !slices.Contains(metrics, want) {
			t.Errorf("no %s in recovery:metrics_updated", want)
		}
	}
	if len(lookup["recovery:packet_lost"]) != 2 {
		t.Error("no recovery:packet_lost")
	}
	for _, data := range lookup["transport:parameters_set"] {
		if data["owner"] == nil || data["initial_max_data"] == nil {
			t.Errorf("transport:parameters_set %v", data)
		}
	}
}

// TestHeader: tools find out within the first bytes what a file is.
func TestHeader(t *testing.T) {
	var out bytes.Buffer
	newTrace(t, &out, Drafts)
	first := out.String()[:256]
	for _, want := range []string{
		`"file_schema":"urn:ietf:params:qlog:file:sequential"`,
		`"serialization_format":"application/qlog+json-seq"`,
		`"qlog_version":"0.3"`, `"qlog_format":"JSON-SEQ"`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in the first 256 bytes: %s", want, first)
		}
	}
	trace := records(t, out.Bytes())[0].(map[string]any)["trace"].(map[string]any)
	common := trace["common_fields"].(map[string]any)
	reference := common["reference_time"].(map[string]any)
	schemas := trace["event_schemas"].([]any)
	if common["group_id"] != "8394c8f03e515708" || common["time_format"] != "relative_to_epoch" ||
		reference["clock_type"] != "monotonic" || reference["epoch"] != "unknown" ||
		reference["wall_clock_time"] != "2026-07-23T09:46:40.123Z" ||
		schemas[0] != "urn:ietf:params:qlog:events:quic-13" || len(schemas) != 5 {
		t.Errorf("trace: %v", trace)
	}
}
