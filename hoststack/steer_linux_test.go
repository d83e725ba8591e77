package hoststack

import (
	"context"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/mono"
)

var steerLayouts = []connid.Layout{
	{Workers: 2},
	{Workers: 3, Mask: 0xa5},
	{Workers: 256, Mask: 7, ServerID: []byte{1, 2, 3}, Length: 12},
}

// steerInput makes a datagram that begins like a QUIC packet, of any length.
func steerInput(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(40))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if len(b) > 5 {
		b[5] = byte(r.IntN(24))
	}
	return b
}

// TestClassicProgram runs the classic form in x/net's machine against the Go
// form of the same program.
func TestClassicProgram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range steerLayouts {
		vm, err := bpf.NewVM(steerCBPF(l.Steering()))
		if err != nil {
			t.Fatal(err)
		}
		for range 20000 {
			b := steerInput(r)
			if len(b) == 0 {
				continue // the machine refuses an empty packet
			}
			got, err := vm.Run(b)
			if err != nil {
				t.Fatal(err)
			}
			want, ok := l.WorkerOf(b)
			if !ok {
				if uint32(got) != 1<<32-1 {
					t.Fatalf("%x: socket %d, want none", b, got)
				}
				continue
			}
			if got != int(want) {
				t.Fatalf("%x: socket %d, want %d", b, got, want)
			}
		}
	}
}

// TestKernelSteers sends datagrams of many connection IDs to three sockets on
// one port and looks where each arrives.
func TestKernelSteers(t *testing.T) {
	layout := connid.Layout{Workers: 3, Mask: 0x3c}
	for _, v := range []struct {
		how    Steering
		attach func(fd int, s connid.Steering) error
	}{{SteerEBPF, attachEBPF}, {SteerCBPF, attachCBPF}} {
		for _, network := range []string{"udp4", "udp6"} {
			t.Run(string(v.how)+" "+network, func(t *testing.T) {
				addr := "127.0.0.1:0"
				if network == "udp6" {
					addr = "[::1]:0"
				}
				paths, err := ListenUDP(context.Background(), network, addr, 3, nil)
				if err != nil {
					t.Skipf("cannot share a port: %v", err)
				}
				for _, p := range paths {
					defer p.Close()
				}
				if err := v.attach(int(paths[0].(*udpSocket).fd), layout.Steering()); err != nil {
					t.Skipf("this process may not attach the program: %v", err)
				}
				testSteering(t, &layout, paths, listenOne(t, network, addr, nil))
			})
		}
	}
}

func testSteering(t *testing.T, layout *connid.Layout, paths []Datapath, from Datapath) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	want := map[string]uint8{}
	var batch []Packet
	for len(batch) < 200 {
		b := steerInput(r)
		w, ok := layout.WorkerOf(b)
		if _, dup := want[string(b)]; !ok || dup {
			continue
		}
		want[string(b)] = w
		batch = append(batch, Packet{Payload: b, Remote: paths[0].LocalAddr()})
	}
	if n, err := from.WriteBatch(batch); n != len(batch) || err != nil {
		t.Fatalf("WriteBatch = %d, %v", n, err)
	}
	got := make([]Packet, 64)
	for i, p := range paths {
		// Loopback delivers before WriteBatch returns.
		for {
			n, err := p.ReadBatch(got, mono.Never, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			for _, q := range got[:n] {
				size := q.SegmentSize
				if size == 0 {
					size = len(q.Payload)
				}
				for b := q.Payload; len(b) > 0; b = b[min(size, len(b)):] {
					d := string(b[:min(size, len(b))])
					if w, ok := want[d]; !ok || int(w) != i {
						t.Errorf("%x arrived at socket %d, want %d", d, i, w)
					}
					delete(want, d)
				}
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d datagrams arrived nowhere", len(want))
	}
}

func TestSteer(t *testing.T) {
	layout := connid.Layout{Workers: 2}
	paths, err := ListenUDP(context.Background(), "udp4", "127.0.0.1:0", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		defer p.Close()
	}
	if how, err := steer(paths, layout.Steering()); how != SteerEBPF && how != SteerCBPF {
		t.Errorf("steering by %q (%v), want a program: classic BPF needs no privilege", how, err)
	}
	if how, _ := steer(paths[:1], layout.Steering()); how != SteerNone {
		t.Errorf("one socket is steered by %q", how)
	}
}
