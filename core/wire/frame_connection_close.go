package wire

// A ConnectionCloseFrame ends the connection.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.19
type ConnectionCloseFrame struct {
	Application bool      // type 0x1d: ErrorCode is the application protocol's
	ErrorCode   uint64    // https://www.rfc-editor.org/rfc/rfc9000#section-20
	FrameType   FrameType // that triggered the error, 0 if unknown; absent if Application
	Reason      []byte    // Reason Phrase: should be UTF-8, but may be anything
}

// ParseConnectionClose parses the CONNECTION_CLOSE frame (type 0x1c or 0x1d) at
// the start of b.
func ParseConnectionClose(b []byte) (f ConnectionCloseFrame, n int) {
	if len(b) == 0 || FrameType(b[0])&^1 != ConnectionClose {
		return f, 0
	}
	r := reader{b: b, n: 1}
	f.Application = b[0] == byte(ApplicationClose)
	f.ErrorCode = r.varint()
	if !f.Application {
		f.FrameType = FrameType(r.varint())
	}
	f.Reason = r.bytes(r.varint())
	return f, r.n
}

// AppendConnectionClose appends a CONNECTION_CLOSE frame.
func AppendConnectionClose(b []byte, f ConnectionCloseFrame) []byte {
	if f.Application {
		b = append(b, byte(ApplicationClose))
		b = AppendVarint(b, f.ErrorCode)
	} else {
		b = append(b, byte(ConnectionClose))
		b = AppendVarint(b, f.ErrorCode)
		b = AppendVarint(b, uint64(f.FrameType))
	}
	b = AppendVarint(b, uint64(len(f.Reason)))
	return append(b, f.Reason...)
}

// Len returns the encoded length in bytes.
func (f ConnectionCloseFrame) Len() int {
	n := 1 + VarintLen(f.ErrorCode) + VarintLen(uint64(len(f.Reason))) + len(f.Reason)
	if !f.Application {
		n += VarintLen(uint64(f.FrameType))
	}
	return n
}
