package plugins

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pquic-go/pquic/core/wire"
)

// manifestSection is the ELF section of a plugin's metadata: records of the
// form key=value, each ended by a NUL. The macros of pquic.h write it.
const manifestSection = ".pquic.manifest"

// Bounds of a manifest, which comes from whoever wrote the plugin.
const (
	maxManifest    = 64 << 10
	maxRecords     = 512
	maxValue       = 1024
	maxPluginName  = 100
	maxPluginItems = 64 // frames, parameters, options, names of other plugins
	maxWeight      = 1024
)

// A Manifest is what a plugin says of itself.
type Manifest struct {
	ABI     uint64
	Name    string // reverse DNS: "org.pquic.monitoring"
	Version Version
	License string // SPDX expression
	Author  string
	Summary string

	Heap       uint32 // bytes
	Frames     []Frame
	Parameters []uint64 // transport parameters it owns
	Negotiate  uint64   // the one that decides whether the plugin is used; 0 none
	Options    []Option

	Uses      []string // host functions with an effect beyond the plugin
	Writes    []string // fields: "path.ack_delay"
	Conflicts []string // plugins it cannot be attached beside
	Requires  []Requirement
}

// A Frame is a frame type that a plugin owns.
type Frame struct {
	Type                 uint64
	Packets              wire.PacketMask
	AckEliciting         bool
	Probing              bool
	CongestionControlled bool
	Weight               uint32 // of the plugin's queue, 0 default
}

// A Requirement is another plugin that has to be attached first.
type Requirement struct {
	Name string
	Min  Version
}

// A Version is a version number of three parts, of which later ones may be left
// out.
type Version [3]uint16

// String writes the version with all parts.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// Compare orders versions.
func (v Version) Compare(w Version) int { return slices.Compare(v[:], w[:]) }

// ParseVersion reads "1", "1.2" or "1.2.3".
func ParseVersion(s string) (v Version, err error) {
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return v, fmt.Errorf("version %q has more than three parts", clip(s))
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != p {
			return v, fmt.Errorf("version %q: want numbers up to 65535, as in 1.2.3", clip(s))
		}
		v[i] = uint16(n)
	}
	return v, nil
}

// CheckName returns an error unless s can be the name of a plugin: labels of
// lower-case letters, digits, '-' and '_', at least two, joined by dots.
func CheckName(s string) error {
	labels := strings.Split(s, ".")
	ok := len(s) <= maxPluginName && len(labels) >= 2
	for _, l := range labels {
		ok = ok && l != "" && l[0] != '-' && strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	}
	if !ok {
		return fmt.Errorf("plugin name %q: want reverse DNS in lower case, such as org.example.hello", clip(s))
	}
	return nil
}

// ParseManifest reads the contents of the manifest section. It accepts what
// pquic.h writes and refuses everything else.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("manifest of %d bytes, at most %d", len(b), maxManifest)
	}
	m := &Manifest{Heap: defaultHeap}
	seen := make(map[string]bool)
	records := 0
	for len(b) > 0 {
		record, rest, ended := bytes.Cut(b, []byte{0})
		if !ended {
			return nil, fmt.Errorf("manifest: the last record has no end")
		}
		b = rest
		if len(record) == 0 {
			continue // padding between two records
		}
		if records++; records > maxRecords {
			return nil, fmt.Errorf("manifest: more than %d records", maxRecords)
		}
		key, value, ok := strings.Cut(string(record), "=")
		if !ok || len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("manifest: malformed record %q", clip(string(record)))
		}
		read, ok := manifestKeys[key]
		if !ok {
			return nil, fmt.Errorf("manifest: unknown key %q", clip(key))
		}
		if seen[key] && !read.repeats {
			return nil, fmt.Errorf("manifest: %s is given twice", key)
		}
		seen[key] = true
		if err := read.set(m, value); err != nil {
			return nil, fmt.Errorf("manifest: %s: %w", key, err)
		}
	}
	if !seen["name"] || !seen["version"] || !seen["abi"] {
		return nil, fmt.Errorf("manifest: name and version are missing: the source needs PQ_PLUGIN(name, version)")
	}
	return m, m.check()
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

type manifestKey struct {
	repeats bool
	set     func(m *Manifest, v string) error
}

var manifestKeys = map[string]manifestKey{
	"abi": {set: func(m *Manifest, v string) (err error) {
		if m.ABI, err = strconv.ParseUint(v, 10, 32); err == nil && m.ABI > ABIVersion {
			err = fmt.Errorf("the plugin was built for version %d of the interface, this is %d", m.ABI, ABIVersion)
		}
		return err
	}},
	"name":    {set: func(m *Manifest, v string) error { m.Name = v; return CheckName(v) }},
	"version": {set: func(m *Manifest, v string) (err error) { m.Version, err = ParseVersion(v); return err }},
	"license": {set: func(m *Manifest, v string) error { m.License = v; return nil }},
	"author":  {set: func(m *Manifest, v string) error { m.Author = v; return nil }},
	"summary": {set: func(m *Manifest, v string) error { m.Summary = v; return nil }},
	"heap": {set: func(m *Manifest, v string) error {
		n, err := parseNumber(v)
		if err != nil || n > maxHeap {
			return fmt.Errorf("%q: want 0 to %d bytes", clip(v), maxHeap)
		}
		m.Heap = uint32(n)
		return nil
	}},
	"frame": {repeats: true, set: (*Manifest).addFrame},
	"parameter": {repeats: true, set: func(m *Manifest, v string) error {
		n, err := parseNumber(v)
		if err != nil || wire.KnownParameter(n) || n > wire.MaxVarint {
			return fmt.Errorf("%q is no transport parameter that a plugin may own", clip(v))
		}
		m.Parameters = append(m.Parameters, n)
		return nil
	}},
	"negotiate": {set: func(m *Manifest, v string) (err error) { m.Negotiate, err = parseNumber(v); return err }},
	"option":    {repeats: true, set: (*Manifest).addOption},
	"uses":      {repeats: true, set: func(m *Manifest, v string) error { return addNames(&m.Uses, v, checkFunction) }},
	"writes":    {repeats: true, set: func(m *Manifest, v string) error { return addNames(&m.Writes, v, checkWritable) }},
	"conflicts": {repeats: true, set: func(m *Manifest, v string) error { return addNames(&m.Conflicts, v, CheckName) }},
	"requires":  {repeats: true, set: (*Manifest).addRequirement},
}

// parseNumber reads decimal or 0x hexadecimal, as C source spells it.
func parseNumber(s string) (uint64, error) {
	s = strings.TrimRight(s, "uUlL")
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

// addNames reads a list separated by commas and spaces.
func addNames(list *[]string, v string, check func(string) error) error {
	for _, name := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		if err := check(name); err != nil {
			return err
		}
		if slices.Contains(*list, name) {
			continue
		}
		if len(*list) >= 4*maxPluginItems {
			return fmt.Errorf("more than %d names", 4*maxPluginItems)
		}
		*list = append(*list, name)
	}
	return nil
}

func checkFunction(name string) error {
	if functionNames[name] == nil {
		return fmt.Errorf("the engine has no function %q", clip(name))
	}
	return nil
}

func checkWritable(name string) error {
	for i, k := range kinds {
		for _, f := range fieldsOf()[i] {
			if f.Writable && FieldName(k.Name, f.Name) == name {
				return nil
			}
		}
	}
	return fmt.Errorf("%q is no field that plugins may write", clip(name))
}

// addFrame reads "0x31515140 1rtt,0rtt ack_eliciting weight=32".
func (m *Manifest) addFrame(v string) error {
	words := strings.Fields(v)
	if len(words) < 2 {
		return fmt.Errorf("%q: want a type and the packets it may be in", clip(v))
	}
	t, err := parseNumber(words[0])
	if err != nil || t > wire.MaxVarint || wire.FactsOf(wire.FrameType(t)).Known() {
		return fmt.Errorf("%q is no frame type that a plugin may own", clip(words[0]))
	}
	f := Frame{Type: t}
	for _, p := range strings.Split(words[1], ",") {
		mask, ok := packetNames[p]
		if !ok {
			return fmt.Errorf("%q: want packets of initial, 0rtt, handshake and 1rtt", clip(words[1]))
		}
		f.Packets |= mask
	}
	for _, w := range words[2:] {
		switch {
		case w == "ack_eliciting":
			f.AckEliciting = true
		case w == "probing":
			f.Probing = true
		case w == "congestion_controlled":
			f.CongestionControlled = true
		case strings.HasPrefix(w, "weight="):
			n, err := parseNumber(w[len("weight="):])
			if err != nil || n == 0 || n > maxWeight {
				return fmt.Errorf("%q: want a weight of 1 to %d", clip(w), maxWeight)
			}
			f.Weight = uint32(n)
		default:
			return fmt.Errorf("unknown property %q", clip(w))
		}
	}
	m.Frames = append(m.Frames, f)
	return nil
}

func (m *Manifest) addRequirement(v string) error {
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, version, versioned := strings.Cut(item, "@")
		r := Requirement{Name: name}
		err := CheckName(name)
		if err == nil && versioned {
			r.Min, err = ParseVersion(version)
		}
		if err != nil {
			return err
		}
		m.Requires = append(m.Requires, r)
	}
	return nil
}

// check finds what single records do not show.
func (m *Manifest) check() error {
	for _, n := range []int{len(m.Frames), len(m.Parameters), len(m.Options), len(m.Conflicts), len(m.Requires)} {
		if n > maxPluginItems {
			return fmt.Errorf("manifest: more than %d items of one kind", maxPluginItems)
		}
	}
	types := make(map[uint64]bool)
	for _, f := range m.Frames {
		if types[f.Type] {
			return fmt.Errorf("manifest: frame type 0x%x is given twice", f.Type)
		}
		types[f.Type] = true
	}
	if m.Negotiate != 0 && !slices.Contains(m.Parameters, m.Negotiate) {
		return fmt.Errorf("manifest: transport parameter 0x%x decides, but the plugin does not own it: add PQ_PARAMETER(0x%x)", m.Negotiate, m.Negotiate)
	}
	if slices.Contains(m.Conflicts, m.Name) {
		return fmt.Errorf("manifest: the plugin conflicts with itself")
	}
	names := make(map[string]bool)
	for _, o := range m.Options {
		if names[o.Name] {
			return fmt.Errorf("manifest: option %s is given twice", o.Name)
		}
		names[o.Name] = true
	}
	return nil
}

// Owns reports whether the plugin owns a frame type or transport parameter: a
// part of the protocol that the connection cannot lose.
func (m *Manifest) Owns() bool { return len(m.Frames) > 0 || len(m.Parameters) > 0 }

// packetNames are the packet types that a frame may be in.
var packetNames = map[string]wire.PacketMask{
	"initial":   1 << wire.Initial,
	"0rtt":      1 << wire.ZeroRTT,
	"handshake": 1 << wire.Handshake,
	"1rtt":      1 << wire.OneRTT,
}
