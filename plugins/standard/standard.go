// Package standard is the list of the plugins that are compiled in.
package standard

import (
	"fmt"
	"strings"

	"github.com/pquic-go/pquic/plugins"
	ackdelay "github.com/pquic-go/pquic/plugins/ack_delay"
	"github.com/pquic-go/pquic/plugins/ecn"
	"github.com/pquic-go/pquic/plugins/hello"
	"github.com/pquic-go/pquic/plugins/monitoring"
	nopacing "github.com/pquic-go/pquic/plugins/no_pacing"
	"github.com/pquic-go/pquic/plugins/qlog"
	streamrr "github.com/pquic-go/pquic/plugins/stream_rr"
	"github.com/pquic-go/pquic/plugins/tlp"
	"github.com/pquic-go/pquic/plugins/westwood"
)

// Prefix begins the full names of the plugins listed here.
const Prefix = "org.pquic."

var objects = []struct {
	name   string
	object []byte
}{
	{"ack_delay", ackdelay.Object},
	{"ecn", ecn.Object},
	{"hello", hello.Object},
	{"monitoring", monitoring.Object},
	{"no_pacing", nopacing.Object},
	{"qlog", qlog.Object},
	{"stream_rr", streamrr.Object},
	{"tlp", tlp.Object},
	{"westwood", westwood.Object},
}

// Names lists the plugins by their short names, sorted.
func Names() []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.name)
	}
	return names
}

// Object returns the ELF file of the plugin with that short or full name.
func Object(name string) ([]byte, bool) {
	name = strings.TrimPrefix(name, Prefix)
	for _, o := range objects {
		if o.name == name {
			return o.object, true
		}
	}
	return nil, false
}

// Load loads what a user names: one of the plugins listed here or, if the name
// has a '/' or ends in ".o", a file.
func Load(name string, opt plugins.LoadOptions) (*plugins.Plugin, error) {
	if strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".o") {
		return plugins.LoadFile(name, opt)
	}
	b, ok := Object(name)
	if !ok {
		return nil, fmt.Errorf("plugin %q is not compiled in: there are %s; a file needs a / or .o in its name", name, strings.Join(Names(), ", "))
	}
	return plugins.Load(name+".o", b, opt)
}
