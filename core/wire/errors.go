package wire

import "errors"

// Why a packet cannot be parsed. All mean that the packet is to be dropped
// silently, never that a connection is at fault: nothing here has been
// authenticated yet.
var (
	ErrTruncated     = errors.New("wire: packet ends early")
	ErrNotLongHeader = errors.New("wire: not a long header")
	ErrConnIDLength  = errors.New("wire: connection ID longer than 20 bytes")
	ErrPacketType    = errors.New("wire: not the expected packet type")
	ErrNoVersions    = errors.New("wire: Version Negotiation packet without a whole version")
	ErrNoRetryToken  = errors.New("wire: Retry packet without a token")
)
