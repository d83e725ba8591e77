package stream

// An Error is a fault found in a stream: of the peer, which closes the
// connection with TransportCode, or, for ErrBuffer, of whoever shares the
// FIFO's memory. Errors are comparable constants; nothing is allocated.
type Error uint8

const (
	// ErrFlowControl: the peer sent more than it was allowed to.
	// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
	ErrFlowControl Error = iota + 1

	// ErrFinalSize: the peer changed the final size, or sent data beyond it.
	// https://www.rfc-editor.org/rfc/rfc9000#section-4.5
	ErrFinalSize

	// ErrStreamState: a repeated reset carried another error code.
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset
	ErrStreamState

	// ErrFrameEncoding: a RESET_STREAM_AT frame's Reliable Size exceeds its
	// Final Size.
	ErrFrameEncoding

	// ErrTooManyGaps: the peer's data left more separate ranges than
	// MaxHeldRanges allows.
	ErrTooManyGaps

	// ErrBuffer: the FIFO refused bytes that flow control permits. Its memory
	// is smaller than the promised window, or the process sharing it broke its
	// indices. The peer did nothing wrong: the stream can be stopped and the
	// connection goes on.
	ErrBuffer

	// ErrShared: memory handed to NewFIFOOn cannot hold a FIFO, or holds
	// something else, or its indices were broken by the other process.
	ErrShared
)

var errorTexts = [...]string{
	ErrFlowControl:   "data exceeds the flow control limit",
	ErrFinalSize:     "final size of the stream changed or was exceeded",
	ErrStreamState:   "stream reset again with another error code",
	ErrFrameEncoding: "reliable size exceeds the final size",
	ErrTooManyGaps:   "stream data is fragmented into too many ranges",
	ErrBuffer:        "receive buffer refused data within the flow control limit",
	ErrShared:        "shared FIFO memory is unusable or corrupt",
}

// Error describes the fault.
func (e Error) Error() string {
	if int(e) < len(errorTexts) && errorTexts[e] != "" {
		return "stream: " + errorTexts[e]
	}
	return "stream: unknown error"
}

// TransportCode returns the code of the CONNECTION_CLOSE frame this error
// calls for.
// https://www.rfc-editor.org/rfc/rfc9000#section-20.1
func (e Error) TransportCode() uint64 {
	switch e {
	case ErrFlowControl:
		return 0x03 // FLOW_CONTROL_ERROR
	case ErrStreamState:
		return 0x05 // STREAM_STATE_ERROR
	case ErrFinalSize:
		return 0x06 // FINAL_SIZE_ERROR
	case ErrFrameEncoding:
		return 0x07 // FRAME_ENCODING_ERROR
	}
	return 0x01 // INTERNAL_ERROR
}
