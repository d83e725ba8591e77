package hoststack

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// echo answers every stream with what it brings.
func echo(c *Conn) {
	for {
		s, err := c.AcceptStream(c.Context())
		if err != nil {
			return
		}
		go func() {
			io.Copy(s, s)
			s.Close()
		}()
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// roundTrip writes data to a new stream and compares what comes back.
func roundTrip(t testing.TB, c *Conn, data []byte) {
	t.Helper()
	s, err := c.OpenStream(testContext(t))
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		if _, err := s.Write(data); err != nil {
			t.Errorf("Write: %v", err)
		}
		s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil {
		t.Errorf("ReadAll: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(data))
	}
}

func TestEcho(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	c := dial(t, l, clientConfig())
	for _, n := range []int{0, 1, 1000, 100_000, 5 << 20} {
		roundTrip(t, c, randomBytes(n))
	}
}

func TestManyStreams(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	c := dial(t, l, clientConfig())
	var wg sync.WaitGroup
	for i := range 300 { // three times the default limit
		wg.Go(func() { roundTrip(t, c, randomBytes(1000*(i%50))) })
	}
	wg.Wait()
}
