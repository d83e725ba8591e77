package hoststack

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A fineTimer wakes a datapath to a few microseconds. The runtime's poller, by
// which a sleeping ReadBatch keeps its deadline, rounds up to milliseconds: too
// coarse for pacing, whose gaps are shorter. So the near deadlines go to a
// timerfd, and a goroutine of its own passes the word on.
type fineTimer struct {
	start sync.Once
	file  *os.File // nil if the system has none to give
	fd    int
	done  chan struct{}
}

// fineUnder is how near a deadline has to be for the detour to pay.
const fineUnder = 3 * time.Millisecond

// set makes wake be called after d, a positive duration, instead of at the time
// set before. It reports whether it could.
func (t *fineTimer) set(d time.Duration, wake func()) bool {
	t.start.Do(func() { t.open(wake) })
	if t.file == nil {
		return false
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	return unix.TimerfdSettime(t.fd, 0, &spec, nil) == nil
}

func (t *fineTimer) open(wake func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return
	}
	t.fd, t.file = fd, os.NewFile(uintptr(fd), "timerfd")
	t.done = make(chan struct{})
	go func() {
		defer close(t.done)
		var expirations [8]byte
		for {
			if _, err := t.file.Read(expirations[:]); err != nil {
				return
			}
			wake()
		}
	}()
}

// close ends the goroutine; set has no effect any more.
func (t *fineTimer) close() {
	t.start.Do(func() {})
	if t.file != nil {
		t.file.Close()
		<-t.done
	}
}
