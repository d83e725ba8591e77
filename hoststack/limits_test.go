package hoststack

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

func TestAddressTable(t *testing.T) {
	tab := newAddressTable(2, 3)
	at := mono.Time(1e18)
	a, sameNet := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	b := netip.MustParseAddr("192.0.2.1")
	for i := range 3 {
		if !tab.take(a, at) {
			t.Errorf("handshake %d of the burst was refused", i+1)
		}
	}
	if tab.take(sameNet, at) {
		t.Error("an address of the same /64 had a bucket of its own")
	}
	if !tab.take(b, at) {
		t.Error("another address was refused")
	}
	at = at.Add(time.Second)
	for range 2 {
		if !tab.take(a, at) {
			t.Error("after a second, two more were not admitted")
		}
	}
	if tab.take(a, at) {
		t.Error("after a second, three more were admitted")
	}
	if !tab.take(netip.MustParseAddr("::ffff:192.0.2.1"), at) {
		t.Error("IPv4-mapped address was refused")
	}
}

func TestLimitsPrepare(t *testing.T) {
	l := Limits{Connections: -1}
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	if l.Connections != -1 || l.Backlog != 1024 || l.Handshakes != 4096 {
		t.Errorf("prepared %+v", l)
	}
	l.Backlog = -1
	if l.prepare() == nil {
		t.Error("a negative backlog was accepted")
	}
}

func TestOutOfMemory(t *testing.T) {
	at := mono.Time(1e18)
	for _, v := range []struct {
		limit int64
		want  bool
	}{{0, false}, {1, true}, {1 << 50, false}} {
		a := newAdmission(&Limits{Memory: v.limit})
		if got := a.outOfMemory(at); got != v.want {
			t.Errorf("limit %d: %v, want %v", v.limit, got, v.want)
		}
	}
}

// TestStats: every counter of a worker reaches the sum, under a name of its own.
func TestStats(t *testing.T) {
	var w workerStats
	v := reflect.ValueOf(&w).Elem()
	for i := range v.NumField() {
		switch f := reflect.NewAt(v.Field(i).Type(), v.Field(i).Addr().UnsafePointer()).Interface().(type) {
		case interface{ Store(uint64) }:
			f.Store(uint64(i + 1))
		case interface{ Store(int64) }:
			f.Store(int64(i + 1))
		}
	}
	var s Stats
	s.add(&w)
	sum := reflect.ValueOf(s)
	if sum.NumField() != v.NumField() {
		t.Fatalf("Stats has %d fields, a worker %d", sum.NumField(), v.NumField())
	}
	for i := range sum.NumField() {
		if got := sum.Field(i).Uint(); got != uint64(i+1) {
			t.Errorf("%s is %d, want %d", sum.Type().Field(i).Name, got, i+1)
		}
	}
	names := map[string]bool{}
	for _, m := range s.Metrics() {
		if names[m.Name] || m.Help == "" || m.Gauge == strings.HasSuffix(m.Name, "_total") {
			t.Errorf("metric %+v", m)
		}
		names[m.Name] = true
	}
	var b bytes.Buffer
	if err := s.WritePrometheus(&b); err != nil || !strings.Contains(b.String(), "# TYPE pquic_connections gauge\npquic_connections 1\n") {
		t.Errorf("%v, %s", err, b.String())
	}
}
