package wire

import "fmt"

// A Version is a QUIC version number.
// https://www.rfc-editor.org/rfc/rfc9000#section-15
type Version uint32

const (
	// Version1 is QUIC version 1. https://www.rfc-editor.org/rfc/rfc9000
	Version1 Version = 0x00000001
	// Version2 is QUIC version 2. https://www.rfc-editor.org/rfc/rfc9369
	Version2 Version = 0x6b3343cf
)

// versionNegotiation in the Version field marks a Version Negotiation packet.
// https://www.rfc-editor.org/rfc/rfc8999#section-6
const versionNegotiation Version = 0

// Known reports whether this package parses packets of version v.
func (v Version) Known() bool { return v == Version1 || v == Version2 }

// IsReserved reports whether v follows the pattern 0x?a?a?a?a, reserved to
// exercise version negotiation. No endpoint ever supports such a version.
// https://www.rfc-editor.org/rfc/rfc9000#section-15
func (v Version) IsReserved() bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

// GreasedVersion returns one of the reserved versions, chosen by seed.
func GreasedVersion(seed uint32) Version { return Version(seed&0xf0f0f0f0 | 0x0a0a0a0a) }

// String returns a name such as "v1", or the number in hexadecimal.
func (v Version) String() string {
	switch v {
	case Version1:
		return "v1"
	case Version2:
		return "v2"
	}
	return fmt.Sprintf("0x%08x", uint32(v))
}
