package plugins

import (
	"slices"

	"github.com/pquic-go/pquic/vm"
)

// checkCapabilities holds the code to the manifest: what it uses without having
// declared it makes the plugin unloadable. What is declared and not used is
// allowed: a later version of the code may use it.
func (p *Plugin) checkCapabilities() error {
	m := p.manifest
	var e CapabilityError
	for _, im := range p.object.Imports {
		f := functionNames[im.Name]
		if f != nil && f.Declared() && !slices.Contains(m.Uses, im.Name) {
			e.Functions = append(e.Functions, im.Name)
		}
	}
	for i := range p.verdicts {
		for _, u := range p.verdicts[i].UsesFields {
			name := FieldName(u.Kind, u.Field)
			if u.Write && !isContext(u.Kind) && !slices.Contains(m.Writes, name) && !slices.Contains(e.Fields, name) {
				e.Fields = append(e.Fields, name)
			}
		}
	}
	for i := range p.programs {
		p.checkOwnership(&p.programs[i], &e)
	}
	if len(e.Functions)+len(e.Fields)+len(e.Frames)+len(e.Params) > 0 {
		return &e
	}
	return nil
}

// checkOwnership notes a frame type or transport parameter that a pluglet
// handles, that the engine does not know and that the plugin did not declare.
func (p *Plugin) checkOwnership(g *program, e *CapabilityError) {
	if g.Anchor.ReadOnly() || !g.context.Family || slices.Contains(g.context.Params, g.Key.Param) {
		return
	}
	id := g.Key.Param
	switch g.Key.Name {
	case "write_transport_parameter", "process_transport_parameter":
		if !slices.Contains(p.manifest.Parameters, id) && !slices.Contains(e.Params, id) {
			e.Params = append(e.Params, id)
		}
	default:
		owned := slices.ContainsFunc(p.manifest.Frames, func(f Frame) bool { return f.Type == id })
		if !owned && !slices.Contains(e.Frames, id) {
			e.Frames = append(e.Frames, id)
		}
	}
}

// isContext reports whether a kind of the machine's is a context.
func isContext(kind string) bool {
	return !slices.ContainsFunc(kinds[:], func(k Kind) bool { return k.Name == kind })
}

// contextUse is what of its context a pluglet uses: nothing else is prepared.
type contextUse struct {
	args, results bool  // the argument or result struct is looked at
	staged        bool  // some member is kept for the call
	prepared      bool  // any of these, or a handle
	replies       bool  // it may answer
	slots         uint8 // views that a call sets, all below included
	handles       []handleUse
	bytes         []bytesUse
	answers       []answerUse // results it may write
	words         []int       // indexes of members that hold words
}

type handleUse struct {
	slot     uint8
	kind     int
	nullable bool
	offset   uintptr // in the argument struct
	call     bool    // of an operation that a plugin declared
}

type bytesUse struct {
	member int // of the address; the length follows
	index  int // of the argument, -1 the frame
}

type answerUse struct {
	member, index int
	size          uint8
	signed        bool
}

// use finds out what a program of section s uses.
func (x *Context) use(s Section, v *vm.Verdict) (u contextUse) {
	used := make(map[string]vm.FieldAccess)
	for _, f := range v.UsesFields {
		if f.Kind == x.variant(s.Anchor) {
			used[f.Field] = f
		}
	}
	next := uint8(slotHandles)
	for i := range x.Members {
		m := &x.Members[i]
		_, ok := used[m.Name]
		switch m.Role {
		case RoleHandle:
			slot := next
			next++
			if !ok {
				continue
			}
			h := handleUse{slot: slot, kind: m.kind, nullable: m.Nullable, call: m.index < 0}
			if m.index >= 0 {
				h.offset = x.Info.Args[m.index].Offset
			}
			u.handles = append(u.handles, h)
		case RoleArg:
			u.args = u.args || ok
		case RoleBytes:
			_, length := used[m.Name+"_length"]
			if ok || length {
				u.bytes = append(u.bytes, bytesUse{i, m.index})
			}
		case RoleResult:
			if s.Anchor.ReadOnly() {
				u.results = u.results || ok
			} else if ok {
				u.answers = append(u.answers, answerUse{i, m.index, m.size, m.Kind[0] == 'i'})
			}
		case RoleWord, RoleCount, RoleAnswer:
			if ok {
				u.words = append(u.words, i)
			}
		}
	}
	u.slots = slotConn
	if u.args {
		u.slots = slotArgs
	}
	if u.results {
		u.slots = slotResults
	}
	if n := len(u.handles); n > 0 {
		u.slots = u.handles[n-1].slot
	}
	u.staged = len(u.bytes)+len(u.answers)+len(u.words) > 0
	u.prepared = u.staged || u.slots > slotConn
	u.replies = !s.Anchor.ReadOnly() && len(u.answers)+len(u.words) > 0
	return u
}
