package protoops

// Attach binds every pluglet of p to s, or none of them. Pluglets at one anchor
// of one operation run in the order they were attached.
//
// Its errors are *AttachError around ErrUnknownOp, ErrReplaced, ErrDeclared,
// ErrAttached, ErrRunning, ErrAnchor, ErrName or ErrNoPluglet.
//
// Pluglets cannot attach anything: while one runs Attach fails with ErrRunning.
// The native body of an operation may, whoever observes or replaces it: a
// pluglet attached to an operation that is running starts with its next call.
func (r *Registry[S]) Attach(s S, p *Plugin) (*Attachment, error) {
	t := s.Operations()
	if err := r.admit(s, t, p); err != nil {
		err.Plugin = p.Name
		return nil, err
	}
	if t.report == nil {
		t.report = s.PlugletFault
	}
	a := &Attachment{plugin: p, table: t, hooks: make([]*hook, 0, len(p.Bindings))}
	// What the plugin declares comes first: its other bindings may refer to it.
	for i := range p.Bindings {
		if b := &p.Bindings[i]; b.declares() {
			t.declare(b)
		}
	}
	for i := range p.Bindings {
		a.hooks = append(a.hooks, r.bind(s, t, a, &p.Bindings[i]))
	}
	t.attachments = append(t.attachments, a)
	return a, nil
}

// Detach takes a off s; if an operation of s is running, once the outermost one
// has ended. Detaching twice, or from another subject, does nothing.
func (r *Registry[S]) Detach(s S, a *Attachment) {
	t := s.Operations()
	switch {
	case a == nil || a.table != t || a.detached:
	case t.top != nil:
		t.detaching = append(t.detaching, a)
		t.unsettled = true
	default:
		a.detach()
	}
}

// bind attaches one pluglet. All that could fail has been checked.
func (r *Registry[S]) bind(s S, t *Table, a *Attachment, b *Binding) *hook {
	k := &hook{pluglet: b.Pluglet, owner: a, anchor: b.Anchor}
	k.stats = PlugletStats{Key: b.Key, Anchor: b.Anchor}
	if p, ok := b.Pluglet.(Trusted); ok && b.Anchor.ReadOnly() {
		k.trusted = p.ReadsOnly()
	}
	if op := r.find(b.Key); op != nil {
		k.site = op.open(s, b.Key)
		k.release = func() { op.release(s, b.Key.Param) }
	} else {
		k.site = &t.declared[b.Key].ch
		k.release = func() { delete(t.declared, b.Key) }
	}
	if k.site.running && k.anchor == Post {
		// Its turn is still to come in the call that goes on.
		t.joining = append(t.joining, k)
		t.unsettled = true
	} else {
		k.site.add(k)
	}
	return k
}

// Admit returns the error that Attach would, without attaching anything.
func (r *Registry[S]) Admit(s S, p *Plugin) error {
	if err := r.admit(s, s.Operations(), p); err != nil {
		err.Plugin = p.Name
		return err
	}
	return nil
}

// admit checks that all of p can be attached, without changing anything.
func (r *Registry[S]) admit(s S, t *Table, p *Plugin) *AttachError {
	switch {
	case t.top != nil && t.top.active != nil:
		return &AttachError{Err: ErrRunning}
	case p.Name == "":
		return &AttachError{Err: ErrName}
	case t.attached(p.Name):
		return &AttachError{Err: ErrAttached}
	}
	bodies := make(map[Key]bool) // what p replaces or declares
	for i := range p.Bindings {
		b := &p.Bindings[i]
		if err := b.check(); err != nil {
			return &AttachError{Key: b.Key, Anchor: b.Anchor, Err: err}
		}
		if !b.declares() {
			continue
		}
		holder := t.declarer(b.Key)
		if r.has(b.Key.Name) || holder != "" || bodies[b.Key] {
			if bodies[b.Key] {
				holder = p.Name
			}
			return &AttachError{Key: b.Key, Anchor: b.Anchor, Holder: holder, Err: ErrDeclared}
		}
		bodies[b.Key] = true
	}
	for i := range p.Bindings {
		if b := &p.Bindings[i]; !b.declares() {
			if err := r.admitBinding(s, t, p, b, bodies); err != nil {
				err.Key, err.Anchor = b.Key, b.Anchor
				return err
			}
		}
	}
	return nil
}

func (r *Registry[S]) admitBinding(s S, t *Table, p *Plugin, b *Binding, bodies map[Key]bool) *AttachError {
	holder := ""
	if op := r.find(b.Key); op != nil {
		h, err := op.peek(s, b.Key.Param)
		if err != nil {
			return &AttachError{Err: err}
		}
		if h != nil && h.replace != nil {
			holder = h.replace.owner.plugin.Name
		}
	} else if holder = t.declarer(b.Key); holder == "" && !bodies[b.Key] {
		return &AttachError{Err: ErrUnknownOp}
	}
	if b.Anchor != Replace {
		return nil
	}
	if bodies[b.Key] {
		holder = p.Name
	}
	if holder != "" {
		return &AttachError{Holder: holder, Err: ErrReplaced}
	}
	bodies[b.Key] = true
	return nil
}

func (b *Binding) check() error {
	switch {
	case !validName(b.Key.Name):
		return ErrName
	case !b.Anchor.valid():
		return ErrAnchor
	case b.Declares && b.Anchor.ReadOnly():
		return ErrAnchor
	case b.Pluglet == nil:
		return ErrNoPluglet
	}
	return nil
}
