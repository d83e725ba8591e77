package wire

// A StreamFrame carries bytes of a stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
type StreamFrame struct {
	ID     uint64 // Stream ID
	Offset uint64
	Data   []byte
	Fin    bool
}

// The flags in the type of a STREAM frame.
const (
	streamFin = 0x01
	streamLen = 0x02 // a Length field is present
	streamOff = 0x04 // an Offset field is present
)

// ParseStream parses the STREAM frame at the start of b. Without a Length field
// the frame extends to the end of b.
func ParseStream(b []byte) (f StreamFrame, n int) {
	if len(b) == 0 || !FrameType(b[0]).IsStream() {
		return f, 0
	}
	r := reader{b: b, n: 1}
	f.Fin = b[0]&streamFin != 0
	f.ID = r.varint()
	if b[0]&streamOff != 0 {
		f.Offset = r.varint()
	}
	if b[0]&streamLen != 0 {
		f.Data = r.bytes(r.varint())
	} else if r.n != 0 {
		f.Data = r.bytes(uint64(len(b) - r.n))
	}
	// "The largest offset delivered on a stream -- the sum of the offset and data
	// length -- cannot exceed 2^62-1 […]. Receipt of a frame that exceeds this
	// limit MUST be treated as a connection error of type FRAME_ENCODING_ERROR or
	// FLOW_CONTROL_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
	if uint64(len(f.Data)) > MaxVarint-f.Offset {
		r.fail()
	}
	return f, r.n
}

// AppendStream appends a STREAM frame. Without a Length field it has to be the
// last frame of its packet.
func AppendStream(b []byte, f StreamFrame, withLen bool) []byte {
	b = AppendStreamHeader(b, f.ID, f.Offset, len(f.Data), f.Fin, withLen)
	return append(b, f.Data...)
}

// AppendStreamHeader appends a STREAM frame up to its n bytes of data, which
// come next.
func AppendStreamHeader(b []byte, id, off uint64, n int, fin, withLen bool) []byte {
	typ := byte(Stream)
	if fin {
		typ |= streamFin
	}
	if withLen {
		typ |= streamLen
	}
	if off != 0 {
		typ |= streamOff
	}
	b = append(b, typ)
	b = AppendVarint(b, id)
	if off != 0 {
		b = AppendVarint(b, off)
	}
	if withLen {
		b = AppendVarint(b, uint64(n))
	}
	return b
}

// StreamHeaderLen returns the bytes AppendStreamHeader appends.
func StreamHeaderLen(id, off uint64, n int, withLen bool) int {
	size := 1 + VarintLen(id)
	if off != 0 {
		size += VarintLen(off)
	}
	if withLen {
		size += VarintLen(uint64(n))
	}
	return size
}

// Len returns the encoded length in bytes.
func (f StreamFrame) Len(withLen bool) int {
	return StreamHeaderLen(f.ID, f.Offset, len(f.Data), withLen) + len(f.Data)
}
