package protoops

import (
	"errors"
	"testing"
)

// A family that leaves out some parameters refuses to attach to them.
func TestFamilyExcept(t *testing.T) {
	even := func(p uint64) bool { return p%2 == 0 }
	r := NewRegistry(DefineFamily("parse", Doc{}, func(c *exceptConn) *Dynamic[None, None] { return &c.slots }, func(*exceptConn, None) None { return None{} }).Except(even))
	c := new(exceptConn)
	try := func(name string, param uint64) error {
		_, err := r.Attach(c, &Plugin{Name: name, Bindings: []Binding{{Key: Key{"parse", param}, Anchor: Replace, Pluglet: PlugletFunc(func(*Call) error { return nil })}}})
		return err
	}
	if err := try("a", 4); !errors.Is(err, ErrUnknownOp) {
		t.Errorf("attached to an excluded parameter: %v", err)
	}
	if err := try("b", 5); err != nil {
		t.Error(err)
	}
	if _, ok := r.Lookup(Key{"parse", 4}); ok {
		t.Error("an excluded parameter is found")
	}
	if err := r.Check(c); err != nil {
		t.Error(err)
	}
}

type exceptConn struct {
	table Table
	slots Dynamic[None, None]
}

func (c *exceptConn) Operations() *Table         { return &c.table }
func (c *exceptConn) PlugletFault(*PlugletError) {}
