package plugins

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A Trial runs single pluglets of a plugin, on a connection that exists for this
// purpose alone and on arguments that the caller makes up. It is for tools and
// for the tests of plugins.
type Trial struct {
	plugin *Plugin
	in     *Instance
	body   func(c *protoops.Call) error
}

// trialOp is the operation in whose stead pluglets run.
const trialOp = "plugins.trial"

// NewTrial makes a trial. options and log are as in AttachOptions.
func NewTrial(p *Plugin, opt AttachOptions) (*Trial, error) {
	t := &Trial{plugin: p}
	e, err := core.NewEndpoint(&core.EndpointConfig{Layout: connid.Layout{}, Random: func(b []byte) { clear(b) }})
	if err != nil {
		return nil, err
	}
	var c *core.Conn
	_, err = e.Dial(mono.FromTime(time.Unix(1, 0)), &core.DialConfig{
		Config:     &core.Config{TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"trial"}}},
		ServerName: "trial", Remote: netip.MustParseAddrPort("192.0.2.1:443"),
		Setup: func(conn *core.Conn) error { c = conn; return nil },
	})
	if err != nil {
		return nil, err
	}
	h := &hub{conn: c, budget: 1 << 62, at: c.Now()}
	h.attachment, err = core.Operations.Attach(c, &protoops.Plugin{Name: trialOp, Bindings: []protoops.Binding{
		{Key: protoops.Plain(trialOp), Anchor: protoops.Extern, Pluglet: protoops.PlugletFunc(func(c *protoops.Call) error { return t.body(c) })},
	}})
	if err != nil {
		return nil, err
	}
	t.in = &Instance{plugin: p, conn: c, hub: h, log: opt.Log, attachment: h.attachment}
	if err := t.in.prepare(opt); err != nil {
		return nil, err
	}
	for i := range p.manifest.Frames {
		_ = c.DeclareFrame(core.FrameDecl{Type: wire.FrameType(p.manifest.Frames[i].Type), Packets: 0xff, Owner: p.Name()})
	}
	return t, nil
}

// Close ends the trial.
func (t *Trial) Close() { t.in.vm.Close() }

// Instance returns the plugin's instance.
func (t *Trial) Instance() *Instance { return t.in }

// A TrialResult is what a pluglet made of a call.
type TrialResult struct {
	Err     error // a *vm.Fault, ErrFailure or an illegal result
	Results []TrialValue
	Fuel    uint64
}

// A TrialValue is a result.
type TrialValue struct {
	Name  string
	Value int64
}

// Run runs the pluglet of a section, or the function of that name. Values are
// given as MEMBER=NUMBER, OBJECT.FIELD=NUMBER, or BYTES=@hex for a member that
// is bytes. What is not given is zero. A result is what the native body answers
// if the pluglet asks it. repeat runs it more than once, to measure.
func (t *Trial) Run(section string, values []string, repeat int) (*TrialResult, time.Duration, error) {
	g := t.plugin.program(section)
	if g == nil {
		return nil, 0, fmt.Errorf("plugin %s has no pluglet %q", t.plugin.Name(), clip(section))
	}
	s, err := t.stage(g, values)
	if err != nil {
		return nil, 0, err
	}
	out := new(TrialResult)
	var took time.Duration
	before := t.in.vm.Stats().Fuel
	t.body = func(c *protoops.Call) error {
		h, err := t.in.enter()
		if err != nil {
			return err
		}
		defer t.in.leave()
		start := time.Now()
		for range repeat {
			if out.Err = s.call(h, c); out.Err != nil {
				break
			}
		}
		took = time.Since(start)
		for i := range g.context.Members {
			m := &g.context.Members[i]
			if m.Role == RoleResult || m.Role == RoleAnswer && h.staging[i] != 0 {
				v := h.staging[i]
				if g.Anchor.ReadOnly() && m.Role == RoleResult {
					continue
				}
				out.Results = append(out.Results, TrialValue{m.Name, int64(extend(v, m.size, m.Kind[0] == 'i'))})
			}
		}
		return nil
	}
	if _, err := protoops.CallExtern(t.in.conn.Operations(), t.in.conn, protoops.Plain(trialOp), nil); err != nil {
		return nil, 0, err
	}
	out.Fuel = (t.in.vm.Stats().Fuel - before) / uint64(max(repeat, 1))
	return out, took, nil
}

// program finds a pluglet by its section or function.
func (p *Plugin) program(name string) *program {
	for i := range p.programs {
		if g := &p.programs[i]; g.section == name || g.name == name {
			return g
		}
	}
	return nil
}

// A trialCall is a call with made-up arguments.
type trialCall struct {
	p       *pluglet
	args    unsafe.Pointer
	results unsafe.Pointer
	objects [numKinds]unsafe.Pointer
	bytes   map[int][]byte // by member
	words   [maxMembers]uint64
}

// stage makes the arguments of a call.
func (t *Trial) stage(g *program, values []string) (*trialCall, error) {
	c := t.in.conn
	args, results := make([]uint64, 64), make([]uint64, 64)
	s := &trialCall{p: &pluglet{program: g, in: t.in, handles: g.use.handles}, args: unsafe.Pointer(&args[0]), results: unsafe.Pointer(&results[0]),
		bytes: make(map[int][]byte)}
	s.objects = [numKinds]unsafe.Pointer{
		kindConn: unsafe.Pointer(c), kindPath: unsafe.Pointer(c.Paths()[0]), kindSpace: unsafe.Pointer(&c.Paths()[0].Space),
		kindPacket: unsafe.Pointer(new(core.SentPacket)), kindReceived: unsafe.Pointer(new(core.ReceivedPacket)),
		kindBuilder: unsafe.Pointer(new(core.PacketBuilder)), kindStream: unsafe.Pointer(new(core.Stream)),
	}
	for _, text := range values {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want MEMBER=NUMBER or OBJECT.FIELD=NUMBER", clip(text))
		}
		if err := s.set(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", clip(text), err)
		}
	}
	return s, nil
}

// set stores one made-up value.
func (s *trialCall) set(name, value string) error {
	object, field, isField := strings.Cut(name, ".")
	x := s.p.context
	for i := range x.Members {
		m := &x.Members[i]
		switch {
		case isField && m.Name == object && (m.Role == RoleHandle || m.Role == RoleConn):
			return s.setField(m.kind, field, value)
		case isField || m.Name != name:
			continue
		}
		switch m.Role {
		case RoleBytes:
			b, err := parseHex(value)
			s.bytes[i] = b
			return err
		case RoleArg, RoleWord, RoleCount, RoleResult, RoleAnswer:
			v, err := parseValue(value)
			if err != nil {
				return err
			}
			switch m.Role {
			case RoleArg:
				storeAt(unsafe.Add(s.args, x.Info.Args[m.index].Offset), m.size, v)
			case RoleResult:
				storeAt(unsafe.Add(s.results, x.Info.Results[m.index].Offset), m.size, v)
			default:
				s.words[i] = v
			}
			return nil
		}
	}
	return fmt.Errorf("struct %s has no such member that can be given", x.CName())
}

func (s *trialCall) setField(kind int, field, value string) error {
	if kinds[kind].Table == nil || s.objects[kind] == nil {
		return errors.New("the object has no fields")
	}
	for _, f := range fieldsOf()[kind] {
		if f.Name == field && f.Kind.Scalar() {
			v, err := parseValue(value)
			if err == nil {
				storeAt(unsafe.Add(s.objects[kind], f.Offset), f.Size, v)
			}
			return err
		}
	}
	return fmt.Errorf("struct %s has no number %q", kinds[kind].Name, clip(field))
}

func parseValue(s string) (uint64, error) {
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return uint64(d), nil
	}
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v), nil
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, errors.New("want a number or a duration")
	}
	return v, nil
}

func parseHex(s string) ([]byte, error) {
	s = strings.TrimPrefix(s, "@")
	b := make([]byte, 0, len(s)/2)
	for ; len(s) >= 2; s = s[2:] {
		v, err := strconv.ParseUint(s[:2], 16, 8)
		if err != nil {
			break
		}
		b = append(b, byte(v))
	}
	if s != "" || len(b) > callBuffer {
		return nil, errors.New("want bytes in hexadecimal")
	}
	return b, nil
}

func storeAt(p unsafe.Pointer, size uint8, v uint64) {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], v)
	copy(unsafe.Slice((*byte)(p), size), b[:size])
}

// native answers for the native body, with the results that were given.
func (s *trialCall) native(h *frame) {
	for _, a := range s.p.use.answers {
		var b [8]byte
		copy(b[:], unsafe.Slice((*byte)(unsafe.Add(s.results, s.p.context.Info.Results[a.index].Offset)), a.size))
		h.staging[a.member] = binary.NativeEndian.Uint64(b[:])
	}
}

// call runs the pluglet once, in the stead of operation c.
func (s *trialCall) call(h *frame, c *protoops.Call) error {
	p, u := s.p, &s.p.use
	h.p, h.call, h.src, h.trial = p, c, c, s
	h.vmCall.Views = h.views[:u.slots]
	if u.args {
		h.views[slotArgs-1] = s.args
	}
	if u.results {
		h.views[slotResults-1] = s.results
	}
	for _, x := range u.handles {
		h.views[x.slot-1] = s.objects[x.kind]
	}
	h.staging = s.words
	base, room := p.in.vm.Buffer()
	for i, b := range s.bytes {
		n := copy(room, b)
		h.staging[i], h.staging[i+1] = uint64(base), uint64(n)
		room, base = room[n:], base+uint32(n)
	}
	r, err := p.in.vm.Run(p.prog, &h.vmCall)
	if err == nil && r != 0 {
		err = fmt.Errorf("%w: %d", ErrFailure, int64(r))
	}
	for _, a := range u.answers {
		m := &p.context.Members[a.member]
		v := extend(h.staging[a.member], a.size, a.signed)
		if err == nil && (a.signed && (int64(v) < int64(m.Min) || int64(v) > int64(m.Max)) || !a.signed && (v < m.Min || v > m.Max)) {
			err = fmt.Errorf("%s = %d: %w", m.Name, int64(v), protoops.ErrRange)
		}
	}
	return err
}
