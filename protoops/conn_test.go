package protoops

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A testConn is an engine small enough to read: a few operations of each shape,
// and a log of what happened in which order.
type testConn struct {
	state  testState
	table  Table
	log    []string
	faults []*PlugletError

	onFault func(*PlugletError)
	onPick  func() // what the native pick_path does besides
	onPost  func() // what a pluglet after it does

	ops struct {
		updateRTT Slot[rttSample, rttEstimate]
		pickPath  Slot[pickArgs, pickResult]
		isNeeded  Slot[None, bool]
		opened    Slot[openedEvent, None]
		parsePing Slot[frameBytes, parsed[pingFrame]]
		parse     Dynamic[frameBytes, parsed[pluginFrame]]
	}
}

// testState is what plugins may see of a testConn.
type testState struct {
	Window uint64        `unit:"bytes" doc:"congestion window" rights:"rw" range:"100:1000000"`
	RTT    time.Duration `op:"smoothed_rtt" doc:"smoothed round-trip time"`
	Bias   int32         `rights:"rw" range:"-10:10"`
	Flag   bool          `rights:"rw"`
	Level  uint8         `rights:"rw"`
	Port   uint16        `rights:"rw"`
	_      [4]byte
}

var testFields = FieldsOf[testState]("conn")

type testPath struct{ id uint64 }

type rttSample struct {
	Latest   time.Duration `op:"latest_rtt" unit:"ns" doc:"the sample" range:"0:"`
	AckDelay time.Duration
	Space    uint8 `doc:"packet number space"`
	hidden   *testPath
}

type rttEstimate struct {
	Smoothed time.Duration `range:"1:"`
	Var      uint32
	Shift    int8
}

type pickArgs struct {
	Paths  []*testPath
	Packet []byte
	Token  [4]byte
	Any    any
	Now    int64
}

type pickResult struct {
	Path   *testPath
	Room   []byte
	Token  [4]byte
	Ranges []uint64
	Any    any
	OK     bool
}

type openedEvent struct {
	ID   uint64
	Path *testPath
}

type frameBytes struct{ Bytes []byte }

type parsed[F any] struct {
	Frame F
	N     int
}

type pingFrame struct{ Seq uint64 }

type pluginFrame struct{ Handle any }

func (c *testConn) Operations() *Table { return &c.table }

func (c *testConn) PlugletFault(e *PlugletError) {
	c.faults = append(c.faults, e)
	c.log = append(c.log, "fault "+e.Plugin)
	if c.onFault != nil {
		c.onFault(e)
	}
}

func (c *testConn) note(s string) { c.log = append(c.log, s) }

//go:noinline
func (c *testConn) updateRTT(s rttSample) rttEstimate {
	if c.ops.updateRTT.Attached() {
		return c.ops.updateRTT.Run(s)
	}
	return c.updateRTTNative(s)
}

//go:noinline
func (c *testConn) updateRTTNative(s rttSample) rttEstimate {
	if c.log != nil {
		c.note("native update_rtt")
	}
	c.state.RTT = (7*c.state.RTT + s.Latest - s.AckDelay) / 8
	return rttEstimate{Smoothed: s.Latest - s.AckDelay + 1, Var: 3}
}

func (c *testConn) pickPath(a pickArgs) pickResult {
	if c.ops.pickPath.Attached() {
		return c.ops.pickPath.Run(a)
	}
	return c.pickPathNative(a)
}

func (c *testConn) pickPathNative(a pickArgs) pickResult {
	if c.onPick != nil {
		c.onPick()
	}
	if len(a.Paths) == 0 {
		return pickResult{}
	}
	return pickResult{Path: a.Paths[0], OK: true}
}

func (c *testConn) isNeeded() bool {
	if c.ops.isNeeded.Attached() {
		return c.ops.isNeeded.Run(None{})
	}
	return c.isNeededNative(None{})
}

func (c *testConn) isNeededNative(None) bool {
	if c.log != nil {
		c.note("native is_needed")
	}
	return true
}

func (c *testConn) streamOpened(id uint64) {
	if c.ops.opened.Attached() {
		c.ops.opened.Run(openedEvent{ID: id})
	}
}

//go:noinline
func (c *testConn) parsePingNative(a frameBytes) parsed[pingFrame] {
	if len(a.Bytes) < 2 {
		return parsed[pingFrame]{N: -1}
	}
	return parsed[pingFrame]{pingFrame{uint64(a.Bytes[1])}, 2}
}

//go:noinline
func (c *testConn) parsePing(b []byte) (pingFrame, int) {
	if c.ops.parsePing.Attached() {
		p := c.ops.parsePing.Run(frameBytes{b})
		return p.Frame, p.N
	}
	p := c.parsePingNative(frameBytes{b})
	return p.Frame, p.N
}

// parseFrame parses a frame of a type the engine does not know.
func (c *testConn) parseFrame(typ uint64, b []byte) (parsed[pluginFrame], bool) {
	if s := c.ops.parse.Slot(typ); s != nil {
		return s.Run(frameBytes{b}), true
	}
	return parsed[pluginFrame]{}, false
}

func (c *testConn) parseUnknown(frameBytes) parsed[pluginFrame] { return parsed[pluginFrame]{N: -1} }

var (
	keyUpdateRTT = Plain("update_rtt")
	keyPickPath  = Plain("pick_path")
	keyIsNeeded  = Plain("is_needed")
	keyOpened    = Plain("stream_opened")
	keyParsePing = Key{"parse_frame", 1}
	keyParseNew  = Key{"parse_frame", 0x42}
)

func testOps() []Op[*testConn] {
	return []Op[*testConn]{
		Define(keyUpdateRTT, Doc{Summary: "folds a sample in"},
			func(c *testConn) *Slot[rttSample, rttEstimate] { return &c.ops.updateRTT }, (*testConn).updateRTTNative),
		Define(keyPickPath, Doc{},
			func(c *testConn) *Slot[pickArgs, pickResult] { return &c.ops.pickPath }, (*testConn).pickPathNative),
		Define(keyIsNeeded, Doc{},
			func(c *testConn) *Slot[None, bool] { return &c.ops.isNeeded }, (*testConn).isNeededNative),
		Define[*testConn, openedEvent, None](keyOpened, Doc{},
			func(c *testConn) *Slot[openedEvent, None] { return &c.ops.opened }, nil),
		Define(keyParsePing, Doc{},
			func(c *testConn) *Slot[frameBytes, parsed[pingFrame]] { return &c.ops.parsePing }, (*testConn).parsePingNative),
		DefineFamily("parse_frame", Doc{},
			func(c *testConn) *Dynamic[frameBytes, parsed[pluginFrame]] { return &c.ops.parse }, (*testConn).parseUnknown),
	}
}

var testRegistry = NewRegistry(testOps()...)

// A script drives one testConn.
type script struct {
	*testConn
	t testing.TB
}

func newScript(t testing.TB) *script {
	return &script{&testConn{state: testState{Window: 1000, RTT: 80}, log: []string{}}, t}
}

// attach attaches a plugin and fails the test if that is refused.
func (s *script) attach(name string, bindings ...Binding) *Attachment {
	s.t.Helper()
	return s.attachPlugin(&Plugin{Name: name, Bindings: bindings})
}

func (s *script) attachPlugin(p *Plugin) *Attachment {
	s.t.Helper()
	a, err := testRegistry.Attach(s.testConn, p)
	if err != nil {
		s.t.Fatalf("attach %s: %v", p.Name, err)
	}
	return a
}

// refused attaches a plugin and fails the test unless that fails with want and
// a message that names each of mentions.
func (s *script) refused(want error, p *Plugin, mentions ...string) {
	s.t.Helper()
	a, err := testRegistry.Attach(s.testConn, p)
	if a != nil || !errors.Is(err, want) {
		s.t.Fatalf("attach %s = %v, %v; want %v", p.Name, a, err, want)
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			s.t.Errorf("error %q does not mention %q", err, m)
		}
	}
}

func (s *script) detach(a *Attachment) { testRegistry.Detach(s.testConn, a) }

// wantLog compares what happened, in order, and forgets it.
func (s *script) wantLog(why string, want ...string) {
	s.t.Helper()
	if got := strings.Join(s.log, ", "); got != strings.Join(want, ", ") {
		s.t.Errorf("%s:\n got %s\nwant %s", why, got, strings.Join(want, ", "))
	}
	s.log = s.log[:0]
}

// wantFault checks that the only fault so far is by plugin and is err.
func (s *script) wantFault(why, plugin string, at Anchor, k Key, err error) *PlugletError {
	s.t.Helper()
	if len(s.faults) != 1 {
		s.t.Fatalf("%s: faults %v, want one", why, s.faults)
	}
	e := s.faults[0]
	if e.Plugin != plugin || e.Anchor != at || e.Key != k || !errors.Is(e, err) {
		s.t.Errorf("%s: fault %v, want %v of %s at %s/%s", why, e, err, plugin, at, k)
	}
	s.faults = nil
	return e
}

// wantFaultOf checks that the only fault so far is by plugin and is err.
func (s *script) wantFaultOf(err error, plugin string) {
	s.t.Helper()
	if len(s.faults) != 1 || s.faults[0].Plugin != plugin || !errors.Is(s.faults[0], err) {
		s.t.Errorf("faults %v, want %v of %s", s.faults, err, plugin)
	}
	s.faults = nil
}

// wantClean checks that nothing is left of any plugin.
func (s *script) wantClean(why string) {
	s.t.Helper()
	t := &s.table
	if t.Running() || len(t.attachments)+len(t.journal)+len(t.declared)+len(t.faults)+len(t.detaching)+len(t.joining) != 0 {
		s.t.Errorf("%s: table is not empty: %+v", why, t)
	}
	o := &s.ops
	if o.updateRTT.Attached() || o.pickPath.Attached() || o.isNeeded.Attached() || o.opened.Attached() ||
		o.parsePing.Attached() || len(o.parse) != 0 {
		s.t.Errorf("%s: a slot is still attached", why)
	}
}

func want[T comparable](t testing.TB, why string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", why, got, want)
	}
}

func wantErr(t testing.TB, why string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", why, got, want)
	}
}

func at(a Anchor, k Key, f func(c *Call) error) Binding {
	return Binding{Key: k, Anchor: a, Pluglet: PlugletFunc(f)}
}

func declare(k Key, f func(c *Call) error) Binding {
	return Binding{Key: k, Pluglet: PlugletFunc(f), Declares: true}
}

var errBoom = errors.New("boom")

func boom(*Call) error { return errBoom }

func quiet(*Call) error { return nil }
