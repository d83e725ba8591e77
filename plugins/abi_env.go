package plugins

import (
	"fmt"
	"sync"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

// View slots of a pluglet's call.
const (
	slotContext = 1 // staged members: results under replace, addresses, words
	slotConn    = 2
	slotArgs    = 3 // the operation's argument struct
	slotResults = 4 // the operation's result struct, under post
	slotHandles = 5 // objects among the arguments, in order
)

// wordSize is the distance of two members of a context, whatever their size.
const wordSize = 8

// environment is what the machine is told of the engine; one for the process.
var environment = sync.OnceValue(func() *vm.Env {
	env := &vm.Env{Context: contextSpec, StoreField: storeField}
	for i := range kinds {
		env.Kinds = append(env.Kinds, viewKind(i))
	}
	for _, x := range contexts() {
		env.Kinds = append(env.Kinds, x.kindAt(protoops.Replace), x.kindAt(protoops.Pre), x.kindAt(protoops.Post))
	}
	for i := range functions {
		env.Funcs = append(env.Funcs, functions[i].hostFunc())
	}
	return env
})

// viewKind describes a type of object to the machine: its fields lie where the
// engine has them.
func viewKind(i int) vm.Kind {
	k := vm.Kind{Name: kinds[i].Name, Stable: kinds[i].Stable}
	if kinds[i].Table == nil {
		return k
	}
	k.Size = uint32(kinds[i].Table.Size())
	for _, f := range fieldsOf()[i] {
		v := vm.Field{Name: f.Name, Offset: uint32(f.Offset), Size: f.Size, Signed: f.Kind.Signed()}
		if f.Kind == protoops.Bytes {
			v.Type, v.Size, v.Length = vm.BytesField, 1, uint32(f.Size)
		}
		if f.Writable {
			v.Access = vm.AccessHost
		}
		k.Fields = append(k.Fields, v)
	}
	return k
}

// storeField writes a field through the journal of the running operation.
func storeField(m *vm.Machine, kind int, slot uint8, field int, v uint64) error {
	h := m.User().(*frame)
	return kinds[kind].set(h.call, m.View(uint64(slot)), protoops.FieldID(field), v)
}

// variant names the kind of a context at an anchor. Programs know it by the name
// of the first, against which CO-RE relocates them: the members of all lie at
// the same offsets.
func (x *Context) variant(at protoops.Anchor) string {
	switch at {
	case protoops.Pre, protoops.Post:
		return x.CName() + "/" + at.String()
	}
	return x.CName()
}

// kindAt describes the context to the machine. Results can be written by what
// replaces the operation, read under post, and do not exist under pre.
func (x *Context) kindAt(at protoops.Anchor) vm.Kind {
	k := vm.Kind{Name: x.variant(at), Size: uint32(len(x.Members)) * wordSize, Stable: true}
	next := uint8(slotHandles)
	for i := range x.Members {
		m := &x.Members[i]
		f := vm.Field{Name: m.Name, Offset: uint32(i) * wordSize, Size: m.size, Signed: m.Kind[0] == 'i'}
		switch m.Role {
		case RoleConn:
			f.Type, f.Of, f.Slot = vm.HandleField, m.Kind, slotConn
		case RoleHandle:
			f.Type, f.Of, f.Slot, f.Nullable = vm.HandleField, m.Kind, next, m.Nullable
			next++
		case RoleArg:
			f.View, f.ViewOffset = slotArgs, uint32(x.Info.Args[m.index].Offset)
		case RoleBytes:
			f.Type = vm.AddressField
		case RoleResult:
			switch at {
			case protoops.Pre:
				continue
			case protoops.Post:
				f.View, f.ViewOffset = slotResults, uint32(x.Info.Results[m.index].Offset)
			default:
				f.Access = vm.AccessDirect
			}
		case RoleAnswer:
			if at == protoops.Pre {
				continue
			}
			if at != protoops.Post {
				f.Access = vm.AccessDirect
			}
		}
		k.Fields = append(k.Fields, f)
	}
	return k
}

// contextSpec tells the machine what the programs of a section get.
func contextSpec(section string) (vm.ContextSpec, error) {
	s, err := parseSection(section)
	if err != nil {
		return vm.ContextSpec{}, err
	}
	spec := vm.ContextSpec{Kind: contextOf(s.Key.Name).variant(s.Anchor), Slot: slotContext, Effects: vm.AllEffects}
	if s.Anchor.ReadOnly() {
		spec.Effects, spec.ReadOnly = vm.Observer, true
	}
	return spec, nil
}

// A Section says where a pluglet attaches, as the name of its ELF section does.
type Section struct {
	Anchor protoops.Anchor
	Key    protoops.Key
	// Declares: the pluglet is the body of a new operation.
	Declares bool
	// Handles: the pluglet handles an event and may act, beside others that do.
	Handles bool
}

// parseSection reads replace/OPERATION[/PARAM], pre/…, post/…, on/EVENT,
// declare/NAME and extern/NAME.
func parseSection(name string) (Section, error) {
	var s Section
	rest := name
	switch {
	case len(name) > 8 && name[:8] == "declare/":
		s.Declares, rest = true, "replace/"+name[8:]
	case len(name) > 3 && name[:3] == "on/":
		s.Handles, rest = true, "replace/"+name[3:]
	}
	at, key, err := protoops.ParseSection(rest)
	if err != nil {
		return s, fmt.Errorf("section %q: %w", clip(name), err)
	}
	s.Anchor, s.Key = at, key
	s.Declares = s.Declares || at == protoops.Extern
	info, known := core.Operations.Lookup(key)
	engines := contextOf(key.Name).Operation != ""
	switch {
	case s.Declares && engines:
		return s, fmt.Errorf("section %q: the engine has an operation %s already", clip(name), key.Name)
	case s.Declares && key.Param != protoops.NoParam:
		return s, fmt.Errorf("section %q: an operation that a plugin declares has no parameter", clip(name))
	case s.Declares || known && s.Handles && info.Event:
		return s, nil
	case s.Handles:
		return s, fmt.Errorf("section %q: %s is not an event of the engine", clip(name), key.Name)
	case engines && !known:
		return s, fmt.Errorf("section %q: %w %s: the parameter is the engine's own, out of range or missing", clip(name), protoops.ErrUnknownOp, key)
	case !engines && at == protoops.Replace:
		return s, fmt.Errorf("section %q: %w %s", clip(name), protoops.ErrUnknownOp, key.Name)
	}
	return s, nil
}

// clip shortens hostile text before it enters an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
