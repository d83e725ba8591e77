package connid

import "testing"

// FuzzWorkerOf steers arbitrary datagrams: no panic, no worker that does not
// exist, and the answer of the documented program.
func FuzzWorkerOf(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add([]byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint8(5))
	f.Add([]byte{0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0}, uint8(4))
	f.Fuzz(func(t *testing.T, datagram []byte, which uint8) {
		l := layouts[int(which)%len(layouts)]
		got, ok := l.WorkerOf(datagram)
		want, wantOK := program(l.Steering(), datagram)
		if ok != wantOK || int(got) != want {
			t.Fatalf("worker %d, %v; the steering program says %d, %v", got, ok, want, wantOK)
		}
		if ok && int(got) >= l.Workers {
			t.Fatalf("worker %d of %d", got, l.Workers)
		}
	})
}
