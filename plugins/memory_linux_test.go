package plugins

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/vm"
)

// mostPerIdle is more bytes than monitoring adds to an idle connection: about
// 12 kB of heap and two pages.
const mostPerIdle = 22 << 10

// TestIdleMemory: monitoring adds little to a connection that has served a
// request and is idle: the heap that both ends of many connections hold with
// and without it, and the pages of the plugin's memory that were ever touched.
func TestIdleMemory(t *testing.T) {
	const worlds = 20
	p := loadFile(t, "monitoring/monitoring.o", "auto")
	bare, _ := idle(t, nil, worlds)
	with, instances := idle(t, p, worlds)
	if len(instances) != 2*worlds {
		t.Fatalf("%d instances, want %d", len(instances), 2*worlds)
	}
	heap := (with - bare) / (2 * worlds)
	pages := 0
	for _, in := range instances {
		pages += in.residentPages(t)
	}
	arena := int64(pages) * int64(unix.Getpagesize()) / (2 * worlds)
	t.Logf("%d bytes more per connection and end: %d of heap, %d of memory that the plugin touched", heap+arena, heap, arena)
	if heap+arena > mostPerIdle {
		t.Errorf("%d bytes more per connection and end, want at most %d", heap+arena, mostPerIdle)
	}
}

// idle makes worlds with one connection each, on which p is attached at both
// ends unless it is nil, and returns how much heap they hold.
func idle(t *testing.T, p *Plugin, worlds int) (int64, []*Instance) {
	var instances []*Instance
	adjust := func(cfg *core.Config) {
		cfg.OnTransportParameters = func(c *core.Conn) error {
			if p == nil {
				return nil
			}
			in, err := p.Attach(c, AttachOptions{})
			instances = append(instances, in)
			return err
		}
	}
	before := held()
	var keep []*coretest.World
	for range worlds {
		link := coretest.Conditions{Delay: 10 * time.Millisecond, Rate: coretest.Mbps(50)}
		w := coretest.NewWorld(t, coretest.Scenario{Up: link, Down: link, Client: adjust, Server: adjust})
		w.Transfer(time.Minute, coretest.Request{Up: 1000, Down: 10_000})
		w.Settle()
		keep = append(keep, w)
	}
	for _, in := range instances {
		in.Messages() // the application takes them
	}
	after := held()
	runtime.KeepAlive(keep)
	return after - before, instances
}

// held returns the bytes of live objects.
func held() int64 {
	runtime.GC()
	runtime.GC() // what pools and finalizers held goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// residentPages returns how many pages of the instance's memory exist.
func (in *Instance) residentPages(t *testing.T) int {
	t.Helper()
	heap, size := in.vm.Heap()
	end := uint64(heap) + uint64(size)
	// Below address 0 lie the private stacks.
	const private = vm.MaxNesting * vm.MaxCallDepth * vm.FrameSize
	first := unsafe.Pointer(&in.vm.Bytes(vm.NullGuard, end-vm.NullGuard)[0])
	first = unsafe.Add(first, -(vm.NullGuard + private))
	page := uint64(unix.Getpagesize())
	if uint64(uintptr(first))%page != 0 {
		t.Skipf("memory does not begin with a page of %d bytes", page)
	}
	length := (end + private + page - 1) / page * page
	vector := make([]byte, length/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(first), uintptr(length), uintptr(unsafe.Pointer(&vector[0]))); errno != 0 {
		t.Skip(errno)
	}
	n := 0
	for _, v := range vector {
		n += int(v & 1)
	}
	return n
}
