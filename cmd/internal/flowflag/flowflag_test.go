package flowflag

import (
	"slices"
	"testing"
)

func TestPlugins(t *testing.T) {
	file, live := Options{File: "f"}, Options{Live: true}
	for _, c := range []struct {
		o           Options
		specs, want []string
	}{
		{Options{}, []string{"monitoring"}, []string{"monitoring"}},
		{live, nil, nil},
		{live, []string{"hello", "monitoring"}, []string{"hello", "monitoring,interval=1s"}},
		{live, []string{"org.pquic.monitoring,summary=false"}, []string{"org.pquic.monitoring,summary=false,interval=1s"}},
		{live, []string{"monitoring,interval=5s"}, []string{"monitoring,interval=5s"}},
		{file, nil, []string{"monitoring,summary=false,interval=1m"}},
		{Options{IPFIX: "a:1"}, []string{"hello"}, []string{"hello", "monitoring,summary=false,interval=1m"}},
		{Options{File: "f", Live: true}, nil, []string{"monitoring,summary=false,interval=1s"}},
		{file, []string{"monitoring"}, []string{"monitoring,interval=1m"}},
	} {
		before := slices.Clone(c.specs)
		if got := c.o.Plugins(c.specs); !slices.Equal(got, c.want) {
			t.Errorf("%+v, %q: got %q, want %q", c.o, c.specs, got, c.want)
		}
		if !slices.Equal(c.specs, before) {
			t.Errorf("the user's list has changed: %q", c.specs)
		}
	}
}
