package connid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// seeded returns a repeatable source of random bytes.
func seeded(seed uint64) func([]byte) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	c := rand.NewChaCha8(key)
	return func(b []byte) { c.Read(b) }
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		why    string
		layout Layout
		ok     bool
	}{
		{"zero layout", Layout{}, true},
		{"shortest", Layout{Length: 4}, true},
		{"shortest with workers", Layout{Length: 4, Workers: 256}, true},
		{"longest", Layout{Length: 20, Prefix: make([]byte, 8), ServerID: make([]byte, 8), Workers: 2}, true},
		{"too short", Layout{Length: 3}, false},
		{"too long", Layout{Length: 21}, false},
		{"negative length", Layout{Length: -1}, false},
		{"negative workers", Layout{Workers: -1}, false},
		{"too many workers", Layout{Workers: 257}, false},
		{"too little randomness", Layout{Length: 8, Prefix: make([]byte, 6)}, false},
		{"too little randomness beside the worker", Layout{Length: 8, ServerID: make([]byte, 5), Workers: 4}, false},
		{"just enough randomness", Layout{Length: 8, ServerID: make([]byte, 4), Workers: 4}, true},
		{"prefix longer than the ID", Layout{Length: 8, Prefix: make([]byte, 30)}, false},
	} {
		err := c.layout.Validate()
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok = %v", c.why, err, c.ok)
		}
		if err != nil && !errors.Is(err, ErrLayout) {
			t.Errorf("%s: %v does not wrap ErrLayout", c.why, err)
		}
	}
}

// layouts are the shapes the tests go through.
var layouts = []Layout{
	{},
	{Workers: 1},
	{Workers: 2, Mask: 0x5a},
	{Workers: 3, Length: 4},
	{Workers: 16, Mask: 0xff, Length: 20},
	{Workers: 100, Prefix: []byte{0xc0}, ServerID: []byte{1, 2}},
	{Workers: 255, ServerID: []byte{9}, Length: 12},
	{Workers: 256, Mask: 1},
	{Prefix: []byte{LBFirstOctet(2, 8)}, ServerID: []byte{0xab, 0xcd}},
}

func TestNew(t *testing.T) {
	random := seeded(1)
	for _, l := range layouts {
		if err := l.Validate(); err != nil {
			t.Fatalf("%+v: %v", l, err)
		}
		seen := make(map[wire.ConnID]bool)
		for worker := range max(l.Workers, 1) {
			for range 50 {
				cid := l.New(random, uint8(worker))
				id := cid.AppendTo(nil)
				if len(id) != l.Len() {
					t.Fatalf("%+v: ID of %d bytes", l, len(id))
				}
				if !bytes.HasPrefix(id, append(bytes.Clone(l.Prefix), l.ServerID...)) {
					t.Fatalf("%+v: ID %x lacks prefix or server ID", l, id)
				}
				if seen[cid] && l.Len() >= 8 {
					t.Fatalf("%+v: ID %x made twice", l, id)
				}
				seen[cid] = true
				got, ok := l.Worker(cid)
				if ok != (l.Workers > 0) || ok && int(got) != worker {
					t.Fatalf("%+v: worker of %x is %d, %v, want %d", l, id, got, ok, worker)
				}
			}
		}
	}
}

// program is the steering program of the package documentation, written down a
// second time with nothing but the constants.
func program(s Steering, p []byte) (worker int, ok bool) {
	o := int(s.Offset)
	if s.Workers == 0 || len(p) < 1 {
		return 0, false
	}
	at := 1
	if p[0]&0x80 != 0 {
		if len(p) < 6 || int(p[5]) < o+2 {
			return 0, false
		}
		at = 6
	}
	if len(p) <= at+o+1 {
		return 0, false
	}
	return int(p[at+o]^p[at+o+1]^s.Mask) % int(s.Workers), true
}

func TestWorkerOf(t *testing.T) {
	random := seeded(2)
	for _, l := range layouts {
		for worker := range max(l.Workers, 1) {
			cid := l.New(random, uint8(worker))
			short := append(cid.AppendTo([]byte{0x40}), 1, 2, 3)
			long := append([]byte{0xc0, 0, 0, 0, 1, byte(cid.Len())}, cid.AppendTo(nil)...)
			for _, p := range [][]byte{short, long} {
				got, ok := l.WorkerOf(p)
				if ok != (l.Workers > 0) || ok && int(got) != worker {
					t.Fatalf("%+v: worker of %x is %d, %v, want %d", l, p, got, ok, worker)
				}
			}
		}
		for range 2000 {
			p := make([]byte, 40)
			random(p)
			p = p[:int(p[39])%40]
			if len(p) > 5 {
				p[5] %= 24
			}
			got, ok := l.WorkerOf(p)
			want, wantOK := program(l.Steering(), p)
			if ok != wantOK || int(got) != want {
				t.Fatalf("%+v: worker of %x is %d, %v; the steering program says %d, %v", l, p, got, ok, want, wantOK)
			}
		}
	}
}

// Connection IDs that clients make up have to spread over the workers, and all
// packets that carry one have to meet at the same worker.
func TestClientChosenIDs(t *testing.T) {
	l := Layout{Workers: 3, Mask: 0x77}
	random := seeded(3)
	var count [3]int
	const n = 30000
	for range n {
		var b [8]byte
		random(b[:])
		cid, _ := wire.MakeConnID(b[:])
		worker, ok := l.Worker(cid)
		if !ok {
			t.Fatal("no worker for an ID of 8 bytes")
		}
		count[worker]++
	}
	for worker, c := range count {
		if c < n/3*9/10 || c > n/3*11/10 {
			t.Errorf("worker %d got %d of %d IDs", worker, c, n)
		}
	}
	for _, length := range []int{0, 1} {
		cid, _ := wire.MakeConnID(make([]byte, length))
		if worker, ok := l.Worker(cid); ok {
			t.Errorf("an ID of %d bytes belongs to worker %d", length, worker)
		}
	}
}

// No byte of the Worker field, nor their XOR, may single out a worker by having
// few values.
func TestWorkerFieldLooksRandom(t *testing.T) {
	random := seeded(4)
	for _, workers := range []int{1, 2, 7, 16} {
		l := Layout{Workers: workers, Mask: 0x3c}
		var first, second, xor [256]bool
		for range 20000 {
			id := l.New(random, 0)
			a, b := id.At(0), id.At(1)
			first[a], second[b], xor[a^b] = true, true, true
		}
		for name, c := range map[string]struct {
			seen *[256]bool
			want int
		}{"first byte": {&first, 256}, "second byte": {&second, 256}, "XOR": {&xor, (255 / workers) + 1}} {
			n := 0
			for _, s := range c.seen {
				if s {
					n++
				}
			}
			if n != c.want {
				t.Errorf("%d workers: %s takes %d values, want %d", workers, name, n, c.want)
			}
		}
	}
}

func TestLBFirstOctet(t *testing.T) {
	// Configuration 2, 7 bytes follow.
	if got := LBFirstOctet(2, 8); got != 0b010_00111 {
		t.Errorf("LBFirstOctet(2, 8) = %08b", got)
	}
	if got := LBFirstOctet(6, 20); got != 0b110_10011 {
		t.Errorf("LBFirstOctet(6, 20) = %08b", got)
	}
	for _, c := range []struct {
		config uint8
		length int
	}{{7, 8}, {0, 0}, {0, 21}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("LBFirstOctet(%d, %d) does not panic", c.config, c.length)
				}
			}()
			LBFirstOctet(c.config, c.length)
		}()
	}
}

func TestAllocations(t *testing.T) {
	l := Layout{Workers: 4, Mask: 9}
	cid := l.New(seeded(5), 2)
	datagram := cid.AppendTo([]byte{0x40})
	if n := testing.AllocsPerRun(100, func() {
		l.Worker(cid)
		l.WorkerOf(datagram)
	}); n != 0 {
		t.Errorf("%v allocations to find a worker, want 0", n)
	}
}

func BenchmarkWorkerOf(b *testing.B) {
	l := Layout{Workers: 4, Mask: 9}
	datagram := l.New(seeded(6), 2).AppendTo([]byte{0x40})
	b.ReportAllocs()
	for b.Loop() {
		l.WorkerOf(datagram)
	}
}

func BenchmarkNew(b *testing.B) {
	l := Layout{Workers: 4, Mask: 9}
	random := seeded(7)
	b.ReportAllocs()
	for b.Loop() {
		l.New(random, 2)
	}
}
