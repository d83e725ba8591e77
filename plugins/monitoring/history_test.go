package monitoring

import (
	"encoding/json"
	"testing"
)

func TestHistory(t *testing.T) {
	h := new(History)
	first := flow(Established, 1, "198.51.100.2:1000")
	second := after(first, Update, 3)
	for _, f := range []*Flow{first, second} {
		_ = h.Flow(f)
	}
	v := h.Since(0)
	if v.Last != 2 || v.Live != 1 || len(v.Flows) != 1 {
		t.Fatalf("%+v", v)
	}
	f := v.Flows[0]
	if f.State != Update || !f.Server || !f.Began.Equal(begin) || len(f.Samples) != 2 {
		t.Errorf("%+v", f)
	}
	b, err := json.Marshal(f.Samples[1])
	// 18,000 bytes in 2 s.
	if want := `[1767323048.006,20,36000,72000,0]`; err != nil || string(b) != want {
		t.Errorf("sample %s, %v; want %s", b, err, want)
	}
	if v = h.Since(v.Last); len(v.Flows) != 1 || len(v.Flows[0].Samples) != 0 {
		t.Errorf("old samples are told again: %+v", v)
	}
	_ = h.Flow(after(second, Finished, 4))
	if v = h.Since(v.Last); v.Live != 0 || v.Flows[0].State != Finished || len(v.Flows[0].Samples) != 1 {
		t.Errorf("after the end: %+v", v)
	}
}

// A History is bounded: samples of a flow, and flows, of which those that have
// ended go first.
func TestHistoryBounds(t *testing.T) {
	h := new(History)
	add := func(id uint64, s State, previous bool) {
		f := flow(s, 1, "198.51.100.2:1000")
		f.ID = id
		if previous {
			f.Previous = f.Record
		}
		_ = h.Flow(f)
	}
	for i := range historySamples + 10 {
		add(1, Update, i > 0)
	}
	if n := len(h.Since(0).Flows[0].Samples); n != historySamples {
		t.Errorf("%d samples, want %d", n, historySamples)
	}
	for id := uint64(2); id < 2*historyFlows; id++ {
		add(id, Established, false)
	}
	ids := func() (list []uint64) {
		for _, f := range h.Since(0).Flows {
			list = append(list, f.ID)
		}
		return list
	}
	if l := ids(); len(l) != historyFlows || l[0] != 1 || l[historyFlows-1] != historyFlows {
		t.Errorf("kept are %v", l)
	}
	add(5, Finished, true)
	add(3, Broken, true)
	add(1000, Established, false)
	add(2*historyFlows-1, Finished, true) // was never kept
	if l := ids(); len(l) != historyFlows || l[historyFlows-1] != 1000 || l[3] != 4 || l[4] != 6 {
		t.Errorf("after flow 5 and flow 3 have ended, kept are %v", l)
	}
	if n := h.Since(0).Live; n != 2*historyFlows-3 {
		t.Errorf("%d flows live, want %d", n, 2*historyFlows-3)
	}
	if d := flow(New, 0, "198.51.100.2:1000"); newSample(1, d).sent != 0 {
		t.Error("a goodput without a time span")
	}
}
