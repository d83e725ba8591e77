package plugins

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/core"
)

// manifest joins records as the section has them.
func manifest(records ...string) []byte {
	return []byte(strings.Join(records, "\x00") + "\x00")
}

var minimal = []string{"abi=1", "name=org.example.x", "version=1.2"}

func TestManifest(t *testing.T) {
	m, err := ParseManifest(manifest(append(minimal, "", "heap=4096", "uses=pq_log, pq_message", "uses=pq_log", "writes=path.ack_delay",
		"frame=0x31515140 1rtt,0rtt ack_eliciting weight=3", "parameter=0x31515141", "negotiate=0x31515141", "requires=org.example.y@2, org.example.z",
		"option=size u64 how much")...))
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != (Version{1, 2}) || m.Heap != 4096 || !reflect.DeepEqual(m.Uses, []string{"pq_log", "pq_message"}) || len(m.Requires) != 2 ||
		m.Frames[0].Weight != 3 || !m.Frames[0].AckEliciting || m.Frames[0].Packets != packetNames["1rtt"]|packetNames["0rtt"] || !m.Owns() {
		t.Errorf("%+v", m)
	}
}

// TestBadManifests: each is refused, with a reason that names the mistake.
func TestBadManifests(t *testing.T) {
	for _, c := range []struct{ record, want string }{
		{"name=org.example.y", "given twice"},
		{"nonsense=1", "unknown key"},
		{"nonsense", "malformed"},
		{"summary=a\nb", "malformed"},
		{"summary=" + strings.Repeat("x", maxValue+1), "malformed"},
		{"heap=999999999", "bytes"},
		{"heap=-1", "bytes"},
		{"frame=0x31515140", "packets"},
		{"frame=0x08 1rtt", "no frame type"},
		{"frame=0x31515140 2rtt", "want packets"},
		{"frame=0x31515140 1rtt weight=0", "weight"},
		{"frame=0x31515140 1rtt loud", "unknown property"},
		{"frame=0x7fffffffffffffff 1rtt", "no frame type"},
		{"parameter=0x04", "no transport parameter"},
		{"negotiate=0x31515141", "does not own it"},
		{"uses=system", "no function"},
		{"writes=path.id", "may write"},
		{"writes=conn.state", "may write"},
		{"conflicts=nonsense", "reverse DNS"},
		{"conflicts=org.example.x", "itself"},
		{"requires=org.example.y@1.2.3.4", "three parts"},
		{"option=x", "want a name"},
		{"option=X u64 help", "lower-case"},
		{"option=x float help", "unknown type"},
	} {
		_, err := ParseManifest(manifest(append(minimal, c.record)...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.record, err, c.want)
		}
	}
	for _, b := range [][]byte{nil, []byte("name=org.example.x"), manifest("abi=1", "name=x", "version=1"), manifest("abi=2", "name=org.example.x", "version=1"), make([]byte, maxManifest+1)} {
		if _, err := ParseManifest(b); err == nil {
			t.Errorf("%.40q is accepted", b)
		}
	}
}

func TestParseSpec(t *testing.T) {
	name, options, err := ParseSpec("hello,greeting=a=b,loud")
	if err != nil || name != "hello" || !reflect.DeepEqual(options, map[string]string{"greeting": "a=b", "loud": "true"}) {
		t.Errorf("%q %v %v", name, options, err)
	}
	for _, s := range []string{"", ",x=1", "a,=1", "a,", "a,x=1,x=2"} {
		if _, _, err := ParseSpec(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestSections(t *testing.T) {
	for _, ok := range []string{"post/packet_sealed", "pre/update_rtt", "replace/parse_frame/0x31515140", "post/process_frame/8", "on/packet_lost",
		"declare/choose", "extern/send", "post/choose", "replace/write_transport_parameter/0x31515141"} {
		if _, err := parseSection(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "packet_sealed", "around/packet_sealed", "replace/nonsense", "replace/parse_frame", "replace/parse_frame/9", "on/update_rtt",
		"on/nonsense", "declare/update_rtt", "extern/packet_sealed", "declare/x/3", "post/", "post/PACKET", "replace/process_transport_parameter/4",
		"replace/update_rtt/3", strings.Repeat("x", 1000)} {
		if _, err := parseSection(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestContexts: contexts fit their staging, functions their declarations.
func TestContexts(t *testing.T) {
	for _, x := range contexts() {
		if len(x.Members) > maxMembers {
			t.Errorf("%s has %d members", x.CName(), len(x.Members))
		}
		names := make(map[string]bool)
		for _, m := range x.Members {
			if names[m.Name] {
				t.Errorf("%s has two members %s", x.CName(), m.Name)
			}
			names[m.Name] = true
		}
	}
	for i := range functions {
		f := &functions[i]
		if n := strings.Count(f.C, ",") + 1; len(f.params) != n && !(len(f.params) == 0 && strings.Contains(f.C, "(void)")) {
			t.Errorf("%s has %d parameters, its declaration %d", f.Name, len(f.params), n)
		}
		if !strings.Contains(f.C, f.Name+"(") {
			t.Errorf("%s is declared as %s", f.Name, f.C)
		}
	}
}

func TestHeap(t *testing.T) {
	h := heap{next: 1000, end: 1000 + 4096}
	a, fresh := h.alloc(100)
	b, _ := h.alloc(1)
	if a == 0 || !fresh || b == 0 || a%16 != 0 || b < a+100 {
		t.Fatalf("pieces at %d and %d", a, b)
	}
	if c, _ := h.alloc(1 << 20); c != 0 {
		t.Error("a piece larger than the heap")
	}
	if err := h.free(uint64(a)); err != nil {
		t.Error(err)
	}
	for _, bad := range []uint64{uint64(a), uint64(b) + 1, uint64(b) | 1<<32, 0} {
		if h.free(bad) == nil {
			t.Errorf("freeing %#x is accepted", bad)
		}
	}
	if c, fresh := h.alloc(128); c != a || fresh {
		t.Errorf("the freed piece is not used again: %d", c)
	}
	for h.used < 4096 {
		if p, _ := h.alloc(16); p == 0 {
			break
		} else if p+16 > h.end {
			t.Fatal("a piece beyond the end")
		}
	}
}

func TestMaps(t *testing.T) {
	in := new(Instance)
	o := &in.ordered().all[3]
	for _, k := range []uint64{5, 1, 9, 1 << 63} {
		i, _ := o.find(k)
		o.entries = append(o.entries[:i], append([]mapEntry{{k, k}}, o.entries[i:]...)...)
	}
	for _, c := range []struct {
		key   uint64
		index int
		found bool
	}{{0, 0, false}, {1, 0, true}, {6, 2, false}, {9, 2, true}, {1 << 63, 3, true}, {1<<64 - 1, 4, false}} {
		if i, ok := o.find(c.key); i != c.index || ok != c.found {
			t.Errorf("find(%d) = %d, %t", c.key, i, ok)
		}
	}
}

// FuzzManifest: no manifest makes the parser panic, and what it accepts keeps
// its bounds.
func FuzzManifest(f *testing.F) {
	f.Add(manifest(append(minimal, "frame=0x31515140 1rtt ack_eliciting weight=3", "option=x u64 help")...))
	f.Add(manifest(append(minimal, "requires=org.example.y@1.2", "writes=path.ack_delay", "negotiate=7")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		if CheckName(m.Name) != nil || m.Heap > maxHeap || len(m.Frames) > maxPluginItems || len(m.Uses) > 4*maxPluginItems {
			t.Errorf("%+v", m)
		}
	})
}

// FuzzParseSpec: no command line makes the parser panic.
func FuzzParseSpec(f *testing.F) {
	f.Add("hello,greeting=hi,every=1s")
	f.Fuzz(func(_ *testing.T, s string) { _, _, _ = ParseSpec(s) })
}

// TestViewsComeFirst: handles point at objects, fields are offsets into the views
// that these begin with.
func TestViewsComeFirst(t *testing.T) {
	for _, o := range []any{new(core.Conn), new(core.Path), new(core.SentPacket), new(core.ReceivedPacket), new(core.PacketBuilder), new(core.Stream)} {
		_, view, ok := core.ViewOf(o)
		if !ok || reflect.ValueOf(view).Pointer() != reflect.ValueOf(o).Pointer() {
			t.Errorf("%T does not begin with its view", o)
		}
	}
}
