package stream

import "testing"

// A reset whose final size is what has arrived already, with no FIN seen, is
// still a reset: the reader has to be told.
func TestResetAtReceivedOffset(t *testing.T) {
	var r Recv
	r.Init(0, NewFIFO(0, 1<<16), NewWindow(1<<16, 1<<16))
	if _, _, err := r.Receive(0, []byte("hello"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reset(5, 0, 42); err != nil {
		t.Fatal(err)
	}
	if code, ok := r.FIFO().ResetCode(); !ok || code != 42 {
		t.Errorf("FIFO reset = %d, %v; want 42, true", code, ok)
	}
	if r.ResetReceived == 0 {
		t.Error("ResetReceived not set")
	}
}

// After everything including FIN arrived, a reset changes nothing.
func TestResetAfterAllReceived(t *testing.T) {
	var r Recv
	r.Init(0, NewFIFO(0, 1<<16), NewWindow(1<<16, 1<<16))
	if _, _, err := r.Receive(0, []byte("hello"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reset(5, 0, 42); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.FIFO().ResetCode(); ok {
		t.Error("a reset ended a stream that was complete")
	}
}
