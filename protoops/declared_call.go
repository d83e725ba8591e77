package protoops

// NumHandles returns how many handles the caller of a declared operation passed,
// zero in an engine's operation.
func (c *Call) NumHandles() int {
	if c.decl == nil {
		return 0
	}
	return len(c.decl.handles)
}

// NumBytes is NumHandles for byte slices.
func (c *Call) NumBytes() int {
	if c.decl == nil {
		return 0
	}
	return len(c.decl.bytes)
}
