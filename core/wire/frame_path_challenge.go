package wire

// A PathChallengeFrame asks for its data to be sent back, which validates the
// path. https://www.rfc-editor.org/rfc/rfc9000#section-19.17
type PathChallengeFrame struct {
	Data [8]byte
}

// ParsePathChallenge parses the PATH_CHALLENGE frame at the start of b.
func ParsePathChallenge(b []byte) (f PathChallengeFrame, n int) {
	r := afterType(b, PathChallenge)
	copy(f.Data[:], r.bytes(uint64(len(f.Data))))
	return f, r.n
}

// AppendPathChallenge appends a PATH_CHALLENGE frame.
func AppendPathChallenge(b []byte, f PathChallengeFrame) []byte {
	return append(append(b, byte(PathChallenge)), f.Data[:]...)
}

// Len returns the encoded length in bytes.
func (f PathChallengeFrame) Len() int { return 1 + len(f.Data) }
