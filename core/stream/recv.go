package stream

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// A RecvState is a state of the receiving part of a stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.2
type RecvState uint8

// The states of the receiving part. With RESET_STREAM_AT and a reliable size
// above zero a stream passes through "Size Known", "Data Recvd" and "Data Read".
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset
const (
	RecvRecv       RecvState = iota
	RecvSizeKnown            // final size known, data missing
	RecvDataRecvd            // everything received
	RecvDataRead             // everything read by the application; terminal
	RecvResetRecvd           // RESET_STREAM received
	RecvResetRead            // the application knows of the reset; terminal
)

var recvStateNames = [...]string{"Recv", "Size Known", "Data Recvd", "Data Read", "Reset Recvd", "Reset Read"}

// String returns the RFC's name of the state.
func (s RecvState) String() string {
	if int(s) < len(recvStateNames) {
		return recvStateNames[s]
	}
	return "unknown"
}

// RecvView is what plugins may see of a receiving half. Flags are 0 or 1.
type RecvView struct {
	ID             uint64 `op:"id" doc:"stream ID"`
	ReceivedOffset uint64 `op:"received_offset" unit:"bytes" doc:"everything below has arrived and is readable"`
	HighestOffset  uint64 `op:"highest_offset" unit:"bytes" doc:"end of the highest byte received, or the final size"`
	FinalSize      uint64 `op:"final_size" unit:"bytes" doc:"valid with size_known"`
	ReliableSize   uint64 `op:"reliable_size" unit:"bytes" doc:"valid with reset_received: data below is still delivered"`
	ResetCode      uint64 `op:"reset_code" doc:"valid with reset_received: application error code"`
	HeldBytes      uint64 `op:"held_bytes" unit:"bytes" doc:"received beyond the first gap"`
	DuplicateBytes uint64 `op:"duplicate_bytes" unit:"bytes" doc:"received again after they were readable, ever"`
	HeldRanges     uint32 `op:"held_ranges" doc:"ranges the held bytes form"`
	SizeKnown      uint32 `op:"size_known" doc:"FIN or a reset told the final size"`
	ResetReceived  uint32 `op:"reset_received" doc:"a reset frame was received"`
	ResetRead      uint32 `op:"reset_read" doc:"the application was told of the reset"`
	Stopped        uint32 `op:"stopped" doc:"the application wants no more data"`
	_              uint32
}

// Recv is the receiving half of a stream: it produces into a FIFO that the
// application reads, putting segments where they belong whatever their order.
//
// It serves CRYPTO streams too: with a window that is never advertised,
// ErrFlowControl means CRYPTO_BUFFER_EXCEEDED.
//
// All methods are the engine's. Init must come first.
type Recv struct {
	RecvView
	// Window is the limit promised for this stream.
	Window Window

	fifo   *FIFO
	ranges list[byteRange] // received beyond ReceivedOffset
}

// Init prepares r to receive stream id into f within window. f's maximum is
// raised to the window's limit (1 GiB at most), so that data within the promise
// always finds room. Shared memory cannot grow: there the window's limit is
// lowered to the ring's size, and the caller must not have promised more.
// Memory of an earlier use is kept.
func (r *Recv) Init(id uint64, f *FIFO, window Window) {
	ranges := r.ranges
	ranges.clear()
	window.Limit = max(window.Limit, window.Size)
	if f.shared == nil {
		promise := min(max(window.Limit, window.Max), 1<<maxRingLog)
		f.maxLog = max(f.maxLog, sizeLog(int(promise)))
	}
	window.Limit = min(window.Limit, uint64(f.Max()))
	window.Size = min(window.Size, window.Limit)
	*r = Recv{Window: window, fifo: f, ranges: ranges}
	r.ID = id
}

// FIFO returns the FIFO given to Init.
func (r *Recv) FIFO() *FIFO { return r.fifo }

// Receive takes one STREAM frame's bytes at off. advance is how far the highest
// offset grew, which counts against connection flow control, with an error too.
// readable says that the application has something new to see: bytes, or the
// end (see TakeReader). data is not kept.
//
// The error is nil, ErrFlowControl, ErrFinalSize, ErrTooManyGaps or ErrBuffer.
func (r *Recv) Receive(off uint64, data []byte, fin bool) (advance uint64, readable bool, err error) {
	end := off + uint64(len(data))
	if end > r.HighestOffset || fin || end < off {
		if advance, err = r.extend(off, end, fin); err != nil {
			return 0, false, err
		}
	}
	if r.discarding() {
		return advance, false, nil
	}
	readable, err = r.store(off, data)
	return advance, readable, err
}

// extend accounts for a frame that raises the highest offset or tells the final
// size, or refuses it.
func (r *Recv) extend(off, end uint64, fin bool) (advance uint64, err error) {
	// "The largest offset delivered on a stream … cannot exceed 2^62-1 …
	// Receipt of a frame that exceeds this limit MUST be treated as a connection
	// error of type FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
	if end < off || end > r.Window.Max {
		return 0, ErrFlowControl
	}
	if err := r.checkFinalSize(end, fin); err != nil {
		return 0, err
	}
	if fin && r.SizeKnown == 0 {
		r.SizeKnown, r.FinalSize = 1, end
	}
	if end > r.HighestOffset {
		advance = end - r.HighestOffset
		r.HighestOffset = end
	}
	return advance, nil
}

// checkFinalSize refuses bytes up to end that contradict a final size, known
// before or told now.
//
// "Once a final size for a stream is known, it cannot change. If a RESET_STREAM
// or STREAM frame is received indicating a change in the final size for the
// stream, an endpoint SHOULD respond with an error of type FINAL_SIZE_ERROR …
// A receiver SHOULD treat receipt of data at or beyond the final size as an
// error of type FINAL_SIZE_ERROR, even after a stream is closed."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.5
func (r *Recv) checkFinalSize(end uint64, final bool) error {
	if r.SizeKnown != 0 {
		if end > r.FinalSize || final && end != r.FinalSize {
			return ErrFinalSize
		}
	} else if final && end < r.HighestOffset {
		return ErrFinalSize
	}
	return nil
}

// discarding reports whether arriving data has no reader.
func (r *Recv) discarding() bool {
	return r.Stopped != 0 || r.ResetReceived != 0 && r.ReceivedOffset >= r.ReliableSize
}

// store puts data into the FIFO and publishes what became contiguous.
func (r *Recv) store(off uint64, data []byte) (readable bool, err error) {
	start := r.ReceivedOffset
	if off < start {
		n := min(start-off, uint64(len(data)))
		r.DuplicateBytes += n
		off += n
		data = data[n:]
	}
	if r.ResetReceived != 0 {
		// "Data sent beyond that byte offset" need not be kept.
		if off >= r.ReliableSize {
			return false, nil
		}
		data = data[:min(uint64(len(data)), r.ReliableSize-off)]
	}
	if len(data) > 0 {
		if !r.fifo.WriteAt(data, off) {
			return false, ErrBuffer
		}
		end := off + uint64(len(data))
		if off > start {
			return false, r.hold(off, end)
		}
		if r.ranges.len() > 0 {
			end = r.join(end)
		}
		r.ReceivedOffset = end
		r.fifo.PublishTail(end)
		readable = true
	}
	if r.SizeKnown != 0 && r.finish() {
		readable = true
	}
	return readable, nil
}

// finish ends the FIFO once everything that will be delivered has arrived.
func (r *Recv) finish() bool {
	switch {
	case r.fifo.Closed():
		return false
	case r.ResetReceived != 0 && r.ReceivedOffset >= r.ReliableSize:
		r.fifo.SetReset(r.ResetCode)
		r.ranges.clear()
		r.HeldBytes, r.HeldRanges = 0, 0
		return true
	case r.ResetReceived == 0 && r.ReceivedOffset == r.FinalSize:
		r.fifo.SetFinal()
		return true
	}
	return false
}

// Reset takes a RESET_STREAM frame (reliableSize 0) or a RESET_STREAM_AT frame
// with an application error code. advance is how far the highest offset grew,
// which counts against connection flow control. The FIFO ends with SetReset
// once everything below the reliable size is readable. A reset has no effect
// on delivery if all data has been received before; neither has one that raises
// the reliable size.
//
// The error is nil, ErrFlowControl, ErrFinalSize, ErrFrameEncoding or
// ErrStreamState.
func (r *Recv) Reset(finalSize, reliableSize, code uint64) (advance uint64, err error) {
	// "If the Reliable Size is larger than the Final Size, the receiver MUST
	// close the connection with a connection error of type FRAME_ENCODING_ERROR."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset
	if reliableSize > finalSize {
		return 0, ErrFrameEncoding
	}
	complete := r.allReceived() // before the reset itself tells the final size
	if advance, err = r.extend(finalSize, finalSize, true); err != nil {
		return 0, err
	}
	if r.ResetReceived != 0 {
		// "the initiator MUST NOT change the Application Error Code … If the
		// receiver detects a change …, it MUST close the connection with a
		// connection error of type STREAM_STATE_ERROR"
		if code != r.ResetCode {
			return advance, ErrStreamState
		}
		// "The receiver MUST ignore any RESET_STREAM_AT frame that increases
		// the Reliable Size."
		r.ReliableSize = min(r.ReliableSize, reliableSize)
	} else if complete {
		return advance, nil
	} else {
		r.ResetReceived, r.ResetCode, r.ReliableSize = 1, code, reliableSize
	}
	r.finish()
	return advance, nil
}

// allReceived reports whether every byte up to the final size has arrived.
func (r *Recv) allReceived() bool {
	return r.SizeKnown != 0 && r.ReceivedOffset == r.FinalSize
}

// Stop discards everything from now on: the application asked for STOP_SENDING.
// Flow control goes on counting.
func (r *Recv) Stop() {
	r.Stopped = 1
	r.ranges.clear()
	r.HeldBytes, r.HeldRanges = 0, 0
}

// SetResetRead records that the application was told of the reset.
func (r *Recv) SetResetRead() { r.ResetRead = 1 }

// Consumed returns how many of the bytes that were counted against flow control
// occupy no memory any more: those the application read, and those that were
// discarded or will never come. It never decreases; its growth is what
// connection flow control gets back.
//
// "The receiver MUST use the final size of the stream to account for all bytes
// sent on the stream in its connection-level flow controller", so a stopped or
// reset stream keeps none of the connection's credit.
// https://www.rfc-editor.org/rfc/rfc9000#section-4.5
func (r *Recv) Consumed() uint64 {
	switch {
	case r.Stopped != 0:
		return r.HighestOffset
	case r.ResetReceived != 0:
		return r.FinalSize - (r.ReliableSize - min(r.ReliableSize, r.fifo.Head()))
	}
	return r.fifo.Head()
}

// MaxData returns the limit to promise for this stream, with update set if a
// MAX_STREAM_DATA frame is worth sending now; see Window.Update.
//
// "An endpoint SHOULD stop sending MAX_STREAM_DATA frames when the receiving
// part of the stream enters a 'Size Known' or 'Reset Recvd' state."
// https://www.rfc-editor.org/rfc/rfc9000#section-13.3
func (r *Recv) MaxData(now mono.Time, rtt time.Duration) (v uint64, update bool) {
	if r.SizeKnown != 0 || r.Stopped != 0 {
		return r.Window.Max, false
	}
	return r.Window.Update(now, rtt, r.fifo.Head())
}

// State returns the state of the receiving part.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.2
func (r *Recv) State() RecvState {
	switch {
	case r.SizeKnown == 0:
		return RecvRecv
	case r.ResetReceived != 0 && r.ReliableSize == 0:
		if r.ResetRead != 0 {
			return RecvResetRead
		}
		return RecvResetRecvd
	}
	end := r.FinalSize
	if r.ResetReceived != 0 {
		end = r.ReliableSize
	}
	switch {
	case r.ReceivedOffset < end:
		return RecvSizeKnown
	case r.fifo.Head() < end:
		return RecvDataRecvd
	}
	return RecvDataRead
}

// Done reports whether the receiving part needs nothing more from the peer or
// the application: it is in a terminal state, or the application stopped it and
// the final size is known.
func (r *Recv) Done() bool {
	if r.Stopped != 0 {
		return r.SizeKnown != 0
	}
	s := r.State()
	return s == RecvDataRead || s == RecvResetRead
}
