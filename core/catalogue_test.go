package core

import "testing"

// Every operation of the paper has a counterpart that exists, or a reason.
func TestPaperOperations(t *testing.T) {
	names := make(map[string]bool)
	for _, op := range Operations.Ops() {
		names[op.Key.Name] = true
	}
	if n := len(PaperOperations); n != 80 {
		t.Errorf("%d operations, the C implementation declares 80", n)
	}
	seen := make(map[string]bool)
	for _, p := range PaperOperations {
		if seen[p.Name] {
			t.Errorf("%s is listed twice", p.Name)
		}
		seen[p.Name] = true
		if len(p.Ours) == 0 && p.Note == "" {
			t.Errorf("%s has neither counterpart nor reason", p.Name)
		}
		for _, o := range p.Ours {
			if !names[o] {
				t.Errorf("%s: %s is no operation", p.Name, o)
			}
		}
	}
}
