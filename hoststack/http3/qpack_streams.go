package http3

// readQPACKEncoder reads the peer's encoder instructions until the stream
// fails. With a table capacity of 0, the only one that may come sets the
// capacity to 0.
//
// "The decoder MUST treat a new dynamic table capacity value that exceeds this
// limit as a connection error of type QPACK_ENCODER_STREAM_ERROR."
// https://www.rfc-editor.org/rfc/rfc9204#section-4.3.1
func readQPACKEncoder(r *frameReader) error {
	for {
		b, v, err := r.prefixed()
		if err != nil {
			return err
		}
		if b&0xe0 != 0x20 || v != 0 {
			return connErrorf(CodeQPACKEncoderStreamError, "an encoder instruction (0x%02x) for a dynamic table of capacity 0", b)
		}
		if err := r.idleInstruction(); err != nil {
			return err
		}
	}
}

// readQPACKDecoder reads the peer's decoder instructions until the stream
// fails. This end never refers to a dynamic table, so that only cancellations
// make sense.
//
// "an Increment […] that increases the Known Received Count beyond what the
// encoder has sent MUST be treated […] as a connection error of type
// QPACK_DECODER_STREAM_ERROR", and so must the acknowledgment of a section
// that refers to no entry.
// https://www.rfc-editor.org/rfc/rfc9204#section-4.4
func readQPACKDecoder(r *frameReader) error {
	for {
		b, _, err := r.prefixed()
		if err != nil {
			return err
		}
		if b&0xc0 != 0x40 { // not Stream Cancellation
			return connErrorf(CodeQPACKDecoderStreamError, "a decoder instruction (0x%02x), but no dynamic table is in use", b)
		}
		if err := r.idleInstruction(); err != nil {
			return err
		}
	}
}

// prefixed reads one QPACK instruction that consists of a prefixed integer:
// its first byte, and the integer behind the instruction's leading bits.
func (f *frameReader) prefixed() (first byte, v uint64, err error) {
	b, err := f.byte()
	if err != nil {
		return 0, 0, err
	}
	mask := byte(0x3f)
	switch {
	case b&0x80 != 0:
		mask = 0x7f
	case b&0xe0 == 0x20:
		mask = 0x1f
	}
	v = uint64(b & mask)
	if b&mask != mask {
		return b, v, nil
	}
	for shift := 0; ; shift += 7 {
		c, err := f.byte()
		if err != nil {
			return 0, 0, err
		}
		if shift > 56 {
			return 0, 0, connErrorf(CodeGeneralProtocolError, "an integer of more than 62 bits on a QPACK stream")
		}
		v += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return b, v, nil
		}
	}
}

func (f *frameReader) byte() (byte, error) {
	if f.r == f.w {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	c := f.buf[f.r]
	f.r++
	return c, nil
}

// maxQPACKInstructions bounds the instructions of a connection that change
// nothing. One cancellation per request is legitimate.
const maxQPACKInstructions = 1 << 24

func (f *frameReader) idleInstruction() error {
	f.idle++
	if f.idle > maxQPACKInstructions {
		return connErrorf(CodeExcessiveLoad, "%d QPACK instructions without effect", f.idle)
	}
	return nil
}
