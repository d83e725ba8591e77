package stream

import (
	"math"
	"sync/atomic"
)

// sideWords are the rarely written words both sides look at.
type sideWords struct {
	wantRead  atomic.Uint32 // the reader sleeps until something is readable
	wantWrite atomic.Uint32 // the writer sleeps until this many bytes are free
	writeEnd  atomic.Uint32 // endOpen, endFinal or endReset: the producer's end
	readEnd   atomic.Uint32 // endOpen or endReset: the consumer's end
	writeCode atomic.Uint64 // valid with writeEnd == endReset
	readCode  atomic.Uint64 // valid with readEnd == endReset
}

const (
	endOpen uint32 = iota
	endFinal
	endReset
)

func (w *sideWords) reset() {
	w.wantRead.Store(0)
	w.wantWrite.Store(0)
	w.writeEnd.Store(endOpen)
	w.readEnd.Store(endOpen)
	w.writeCode.Store(0)
	w.readCode.Store(0)
}

// sides returns the words, wherever they live.
func (f *FIFO) sides() *sideWords {
	if f.shared != nil {
		return &f.shared.words
	}
	return &f.words
}

// sealed reports whether Write must refuse everything.
func (f *FIFO) sealed() bool {
	w := f.sides()
	return w.writeEnd.Load()|w.readEnd.Load() != endOpen || f.Err() != nil
}

// CloseWrite says that nothing follows Tail: the stream's FIN. Producer only.
func (f *FIFO) CloseWrite() { f.SetFinal() }

// SetFinal is CloseWrite in the engine's words: Tail is the final size. A FIFO
// that has ended already stays as it is. Producer only.
func (f *FIFO) SetFinal() {
	if w := f.sides(); w.writeEnd.Load() == endOpen {
		w.writeEnd.Store(endFinal)
	}
}

// SetReset says that the stream breaks off at Tail, with an application error
// code. A FIFO that has ended already stays as it is. Producer only.
func (f *FIFO) SetReset(code uint64) {
	if w := f.sides(); w.writeEnd.Load() == endOpen {
		w.writeCode.Store(code)
		w.writeEnd.Store(endReset)
	}
}

// Closed reports whether the producer has ended the FIFO, by CloseWrite,
// SetFinal or SetReset. Either side may call it.
func (f *FIFO) Closed() bool { return f.sides().writeEnd.Load() != endOpen }

// Final returns the final size, if CloseWrite or SetFinal made it known. The
// consumer has read everything once Head equals it. Either side may call it.
func (f *FIFO) Final() (size uint64, ok bool) {
	// The flag first: the producer sets it after its last Tail.
	if f.sides().writeEnd.Load() != endFinal {
		return 0, false
	}
	return f.Tail(), true
}

// ResetCode returns the application error code of SetReset. The bytes before
// Tail remain readable. Either side may call it.
func (f *FIFO) ResetCode() (code uint64, ok bool) {
	w := f.sides()
	if w.writeEnd.Load() != endReset {
		return 0, false
	}
	return w.writeCode.Load(), true
}

// CloseRead says that the consumer wants nothing more, with an application
// error code: Write returns 0 from now on. The first call counts. Consumer
// only.
func (f *FIFO) CloseRead(code uint64) {
	if w := f.sides(); w.readEnd.Load() == endOpen {
		w.readCode.Store(code)
		w.readEnd.Store(endReset)
	}
}

// ReadClosed returns the application error code of CloseRead. Either side may
// call it.
func (f *FIFO) ReadClosed() (code uint64, ok bool) {
	w := f.sides()
	if w.readEnd.Load() == endOpen {
		return 0, false
	}
	return w.readCode.Load(), true
}

// ArmReader announces that the consumer is about to sleep until something is
// readable or the producer ends the FIFO. It reports false, withdrawing the
// announcement, if that is the case already. Whoever then wakes the consumer
// may do so once too often, never too seldom. Consumer only.
func (f *FIFO) ArmReader() bool {
	w := f.sides()
	w.wantRead.Store(1)
	if w.writeEnd.Load() != endOpen || f.Len() > 0 {
		w.wantRead.Store(0)
		return false
	}
	return true
}

// DisarmReader withdraws ArmReader, for a consumer that woke for another
// reason. Consumer only.
func (f *FIFO) DisarmReader() { f.sides().wantRead.Store(0) }

// TakeReader reports whether the consumer sleeps and is to be woken, once per
// ArmReader. The producer calls it after it published bytes or an end.
func (f *FIFO) TakeReader() bool {
	w := f.sides()
	return w.wantRead.Load() != 0 && w.wantRead.Swap(0) != 0
}

// ArmWriter announces that the producer is about to sleep until free bytes can
// be written (at least 1, at most Limit: asking for half of it spares wake-ups)
// or the consumer closes its end. It reports false, withdrawing the
// announcement, if that is the case already. Producer only.
func (f *FIFO) ArmWriter(free int) bool {
	free = min(max(free, 1), f.Limit(), math.MaxUint32>>1)
	w := f.sides()
	w.wantWrite.Store(uint32(free))
	if w.readEnd.Load() != endOpen || f.Limit()-f.Len() >= free {
		w.wantWrite.Store(0)
		return false
	}
	return true
}

// DisarmWriter withdraws ArmWriter. Producer only.
func (f *FIFO) DisarmWriter() { f.sides().wantWrite.Store(0) }

// TakeWriter reports whether the producer sleeps and is to be woken, once per
// ArmWriter. The consumer calls it after Read, Advance or CloseRead.
func (f *FIFO) TakeWriter() bool {
	w := f.sides()
	want := w.wantWrite.Load()
	if want == 0 {
		return false
	}
	if w.readEnd.Load() == endOpen && f.Limit()-f.Len() < int(want) {
		return false
	}
	return w.wantWrite.Swap(0) != 0
}
