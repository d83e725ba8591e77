package hoststack

import (
	"errors"
	"io"
	"net"
	"testing"
)

// TestWriteSteps: what is written in one step leaves in one frame.
func TestWriteSteps(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	var log sentLog
	cfg := clientConfig()
	cfg.Core.Qlog = log.trace
	c := dial(t, l, cfg)
	for _, v := range []struct {
		name  string
		write func(*Stream) (int, error)
		want  string
		fin   bool
	}{
		{"WriteFinal", func(s *Stream) (int, error) { return s.WriteFinal([]byte("all of it")) }, "all of it", true},
		{"WriteFinal of nothing", func(s *Stream) (int, error) { return s.WriteFinal(nil) }, "", true},
		{"WriteGather", func(s *Stream) (int, error) { return s.WriteGather([]byte("header "), []byte("payload")) }, "header payload", false},
		{"WriteGather of one", func(s *Stream) (int, error) { return s.WriteGather(nil, []byte("payload")) }, "payload", false},
	} {
		s, err := c.OpenStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		n, err := v.write(s)
		if err != nil || n != len(v.want) {
			t.Errorf("%s: %d, %v", v.name, n, err)
		}
		if v.fin {
			if _, err := s.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Write afterwards: %v, want net.ErrClosed", v.name, err)
			}
			if _, err := s.WriteFinal(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: WriteFinal afterwards: %v, want net.ErrClosed", v.name, err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			t.Errorf("%s: CloseWrite: %v", v.name, err)
		}
		if b, err := io.ReadAll(s); err != nil || string(b) != v.want {
			t.Errorf("%s: %q came back, %v", v.name, b, err)
		}
		// The end of CloseWrite may leave with what came before, if the worker
		// was busy; that of WriteFinal has to.
		if f := log.of(t, s); f.length != len(v.want) || v.fin && !f.fin {
			t.Errorf("%s: the first frame has %d bytes and FIN %v, want %d and %v", v.name, f.length, f.fin, len(v.want), v.fin)
		}
	}
}

// TestWriteFinalLong: more than fits the buffers, written in one step.
func TestWriteFinalLong(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	c := dial(t, l, clientConfig())
	s, err := c.OpenStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	writing := async(func() error {
		n, err := s.WriteGather([]byte("0123"), randomBytes(size))
		if n != size+4 {
			t.Errorf("%d bytes written, want %d", n, size+4)
		}
		if err == nil {
			_, err = s.WriteFinal(randomBytes(size))
		}
		return err
	})
	if n, err := io.Copy(io.Discard, s); err != nil || n != 2*size+4 {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if err := <-writing; err != nil {
		t.Error(err)
	}
}

func TestReadEnded(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	if cs.ReadEnded() {
		t.Error("a stream nothing came on has ended")
	}
	if _, err := ss.WriteFinal([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, cs.recv.Closed)
	if cs.ReadEnded() {
		t.Error("a stream with bytes to read has ended")
	}
	if err := read(cs, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !cs.ReadEnded() {
			t.Error("the end was not seen")
		}
	}
	if _, err := cs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read at the end: %v", err)
	}

	ss, cs = streams(t, s, c)
	ss.Reset(1)
	waitFor(t, cs.recv.Closed)
	if cs.ReadEnded() {
		t.Error("a stream that was reset has ended cleanly")
	}
	uni, err := c.OpenUniStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if uni.ReadEnded() {
		t.Error("a stream that brings nothing has ended")
	}
}

// TestNotifyAbort: the application hears of an abort without reading or
// writing.
func TestNotifyAbort(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	for _, v := range []struct {
		name  string
		abort func(*Stream)
	}{
		{"RESET_STREAM", func(s *Stream) { s.Reset(5) }},
		{"STOP_SENDING", func(s *Stream) { s.CancelRead(5) }},
	} {
		t.Run(v.name, func(t *testing.T) {
			ss, cs := streams(t, s, c)
			heard := make(chan error, 2)
			ss.NotifyAbort(func(err error) { heard <- err })
			v.abort(cs)
			select {
			case err := <-heard:
				if !isStreamError(err, 5, true) {
					t.Errorf("heard %v", err)
				}
			case <-testContext(t).Done():
				t.Fatal("nothing was heard")
			}
			// Who asks later hears at once, and nobody hears twice.
			ss.NotifyAbort(func(err error) { heard <- err })
			if err := <-heard; !isStreamError(err, 5, true) {
				t.Errorf("later: %v", err)
			}
			cs.Reset(6)
			cs.CancelRead(6)
			roundTripBetween(t, s, c)
			if len(heard) > 0 {
				t.Errorf("heard again: %v", <-heard)
			}
		})
	}
}
