package wire

import (
	"fmt"
	"net/netip"
	"time"
)

// The transport parameters this package parses.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
const (
	ParamOriginalDestinationConnectionID uint64 = 0x00
	ParamMaxIdleTimeout                  uint64 = 0x01
	ParamStatelessResetToken             uint64 = 0x02
	ParamMaxUDPPayloadSize               uint64 = 0x03
	ParamInitialMaxData                  uint64 = 0x04
	ParamInitialMaxStreamDataBidiLocal   uint64 = 0x05
	ParamInitialMaxStreamDataBidiRemote  uint64 = 0x06
	ParamInitialMaxStreamDataUni         uint64 = 0x07
	ParamInitialMaxStreamsBidi           uint64 = 0x08
	ParamInitialMaxStreamsUni            uint64 = 0x09
	ParamAckDelayExponent                uint64 = 0x0a
	ParamMaxAckDelay                     uint64 = 0x0b
	ParamDisableActiveMigration          uint64 = 0x0c
	ParamPreferredAddress                uint64 = 0x0d
	ParamActiveConnectionIDLimit         uint64 = 0x0e
	ParamInitialSourceConnectionID       uint64 = 0x0f
	ParamRetrySourceConnectionID         uint64 = 0x10
	ParamVersionInformation              uint64 = 0x11       // https://www.rfc-editor.org/rfc/rfc9368#section-3
	ParamResetStreamAt                   uint64 = 0x1d       // draft-ietf-quic-reliable-stream-reset-10
	ParamGreaseQUICBit                   uint64 = 0x2ab2     // https://www.rfc-editor.org/rfc/rfc9287#section-3
	ParamMinAckDelay                     uint64 = 0xff04de1b // draft-ietf-quic-ack-frequency-14, microseconds

	// ParamResetStreamAtProvisional is the number of reset_stream_at up to
	// draft-ietf-quic-reliable-stream-reset-07, before 0x1d was assigned. The
	// frame is the same, so it is sent and understood beside the new number.
	ParamResetStreamAtProvisional uint64 = 0x17f7586d2cb571
)

// Limits of transport parameters.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
const (
	MinUDPPayloadSize          = 1200  // bytes
	DefaultMaxUDPPayloadSize   = 65527 // bytes
	DefaultAckDelayExponent    = 3
	MaxAckDelayExponent        = 20
	DefaultMaxAckDelay         = 25 * time.Millisecond
	MaxAckDelayLimit           = 1 << 14 // milliseconds, exclusive
	MinActiveConnectionIDLimit = 2       // also the default
)

// MaxUnknownParameters bounds how many parameters ParseTransportParameters
// keeps in Unknown; further ones are ignored.
const MaxUnknownParameters = 64

// TransportParameters are what an endpoint declares in the handshake. Start from
// DefaultTransportParameters: some defaults are not zero.
// https://www.rfc-editor.org/rfc/rfc9000#section-18
type TransportParameters struct {
	// Flow control: bytes, and numbers of streams up to MaxStreamCount. "Local"
	// and "remote" are seen from the endpoint that sends the parameters.
	InitialMaxData                 uint64
	InitialMaxStreamDataBidiLocal  uint64
	InitialMaxStreamDataBidiRemote uint64
	InitialMaxStreamDataUni        uint64
	InitialMaxStreamsBidi          uint64
	InitialMaxStreamsUni           uint64

	MaxUDPPayloadSize       uint64        // bytes, at least MinUDPPayloadSize
	ActiveConnectionIDLimit uint64        // at least MinActiveConnectionIDLimit
	AckDelayExponent        uint64        // at most MaxAckDelayExponent
	MaxAckDelay             time.Duration // sent in milliseconds, rounded up; below MaxAckDelayLimit of them
	MinAckDelay             time.Duration // sent in microseconds, rounded up; at most MaxAckDelay; if HasMinAckDelay
	MaxIdleTimeout          time.Duration // sent in milliseconds, rounded up; 0: none. Longer than a Duration holds: cut

	DisableActiveMigration bool
	GreaseQUICBit          bool // accepts packets whose Fixed Bit is clear
	ResetStreamAt          bool // accepts RESET_STREAM_AT frames

	// Which of the optional parameters below, and MinAckDelay, are present.
	HasMinAckDelay                     bool // accepts ACK_FREQUENCY and IMMEDIATE_ACK frames
	HasInitialSourceConnectionID       bool
	HasVersionInformation              bool
	HasOriginalDestinationConnectionID bool
	HasRetrySourceConnectionID         bool
	HasStatelessResetToken             bool
	HasPreferredAddress                bool

	InitialSourceConnectionID ConnID
	VersionInformation        VersionInformation

	// Sent by servers only.
	OriginalDestinationConnectionID ConnID
	RetrySourceConnectionID         ConnID
	StatelessResetToken             [ResetTokenLen]byte
	PreferredAddress                PreferredAddress

	// Unknown are the parameters this package does not know: those of
	// extensions, and reserved ones. Append sends them as they are.
	Unknown []RawParameter
}

// A PreferredAddress is where a server wants to be reached after the handshake.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.6
type PreferredAddress struct {
	IPv4       netip.AddrPort // not valid: none
	IPv6       netip.AddrPort // not valid: none
	ConnID     ConnID         // 1 to 20 bytes, sequence number 1
	ResetToken [ResetTokenLen]byte
}

// VersionInformation authenticates version negotiation.
// https://www.rfc-editor.org/rfc/rfc9368#section-3
type VersionInformation struct {
	Chosen    Version
	Available []Version // client: by descending preference, including Chosen
}

// A RawParameter is a transport parameter as sent.
type RawParameter struct {
	ID    uint64
	Value []byte
}

// DefaultTransportParameters returns what an endpoint that sends no parameters
// has declared.
func DefaultTransportParameters() TransportParameters {
	return TransportParameters{
		MaxUDPPayloadSize:       DefaultMaxUDPPayloadSize,
		AckDelayExponent:        DefaultAckDelayExponent,
		MaxAckDelay:             DefaultMaxAckDelay,
		ActiveConnectionIDLimit: MinActiveConnectionIDLimit,
	}
}

// A TransportParameterError tells which parameter is wrong and why. It is a
// connection error of type TRANSPORT_PARAMETER_ERROR.
type TransportParameterError struct {
	ID     uint64
	Reason string
}

// Error names the parameter and the reason.
func (e *TransportParameterError) Error() string {
	return fmt.Sprintf("wire: transport parameter %s: %s", ParameterName(e.ID), e.Reason)
}

// KnownParameter reports whether TransportParameters has a field for a parameter
// number.
func KnownParameter(id uint64) bool {
	switch id {
	case ParamResetStreamAt, ParamResetStreamAtProvisional, ParamGreaseQUICBit, ParamMinAckDelay:
		return true
	}
	return id < uint64(len(parameterNames))
}

// ParameterName returns the RFC's name of a transport parameter, or its number
// in hexadecimal.
func ParameterName(id uint64) string {
	switch id {
	case ParamResetStreamAt, ParamResetStreamAtProvisional:
		return "reset_stream_at"
	case ParamGreaseQUICBit:
		return "grease_quic_bit"
	case ParamMinAckDelay:
		return "min_ack_delay"
	}
	if id < uint64(len(parameterNames)) {
		return parameterNames[id]
	}
	return fmt.Sprintf("0x%x", id)
}

var parameterNames = [...]string{
	ParamOriginalDestinationConnectionID: "original_destination_connection_id",
	ParamMaxIdleTimeout:                  "max_idle_timeout",
	ParamStatelessResetToken:             "stateless_reset_token",
	ParamMaxUDPPayloadSize:               "max_udp_payload_size",
	ParamInitialMaxData:                  "initial_max_data",
	ParamInitialMaxStreamDataBidiLocal:   "initial_max_stream_data_bidi_local",
	ParamInitialMaxStreamDataBidiRemote:  "initial_max_stream_data_bidi_remote",
	ParamInitialMaxStreamDataUni:         "initial_max_stream_data_uni",
	ParamInitialMaxStreamsBidi:           "initial_max_streams_bidi",
	ParamInitialMaxStreamsUni:            "initial_max_streams_uni",
	ParamAckDelayExponent:                "ack_delay_exponent",
	ParamMaxAckDelay:                     "max_ack_delay",
	ParamDisableActiveMigration:          "disable_active_migration",
	ParamPreferredAddress:                "preferred_address",
	ParamActiveConnectionIDLimit:         "active_connection_id_limit",
	ParamInitialSourceConnectionID:       "initial_source_connection_id",
	ParamRetrySourceConnectionID:         "retry_source_connection_id",
	ParamVersionInformation:              "version_information",
}

// IsReservedParameter reports whether id is reserved to exercise the rule that
// unknown parameters are ignored.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.1
func IsReservedParameter(id uint64) bool { return id%31 == 27 }

// GreasedParameterID returns a reserved parameter number, chosen by seed.
func GreasedParameterID(seed uint64) uint64 {
	return 31*(seed%((MaxVarint-27)/31+1)) + 27
}

// Remembered returns what a client keeps of a server's parameters for 0-RTT in a
// later connection; everything else is at its default. Parameters in Unknown are
// left to whoever understands them.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
func (tp *TransportParameters) Remembered() TransportParameters {
	// "A client MUST NOT use remembered values for the following parameters:
	// ack_delay_exponent, max_ack_delay, initial_source_connection_id,
	// original_destination_connection_id, preferred_address,
	// retry_source_connection_id, and stateless_reset_token."
	// "Endpoints MUST NOT remember the value of the min_ack_delay transport
	// parameter" (draft-ietf-quic-ack-frequency-14, section 3)
	m := DefaultTransportParameters()
	m.InitialMaxData = tp.InitialMaxData
	m.InitialMaxStreamDataBidiLocal = tp.InitialMaxStreamDataBidiLocal
	m.InitialMaxStreamDataBidiRemote = tp.InitialMaxStreamDataBidiRemote
	m.InitialMaxStreamDataUni = tp.InitialMaxStreamDataUni
	m.InitialMaxStreamsBidi = tp.InitialMaxStreamsBidi
	m.InitialMaxStreamsUni = tp.InitialMaxStreamsUni
	m.ActiveConnectionIDLimit = tp.ActiveConnectionIDLimit
	m.MaxUDPPayloadSize = tp.MaxUDPPayloadSize
	m.MaxIdleTimeout = tp.MaxIdleTimeout
	m.DisableActiveMigration = tp.DisableActiveMigration
	m.ResetStreamAt = tp.ResetStreamAt
	return m
}

// Covers reports whether nothing a client did under the remembered parameters
// can exceed tp. A server that accepts 0-RTT declares parameters that do; a
// client that sees others closes the connection with PROTOCOL_VIOLATION.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
func (tp *TransportParameters) Covers(remembered *TransportParameters) bool {
	return tp.ActiveConnectionIDLimit >= remembered.ActiveConnectionIDLimit &&
		tp.InitialMaxData >= remembered.InitialMaxData &&
		tp.InitialMaxStreamDataBidiLocal >= remembered.InitialMaxStreamDataBidiLocal &&
		tp.InitialMaxStreamDataBidiRemote >= remembered.InitialMaxStreamDataBidiRemote &&
		tp.InitialMaxStreamDataUni >= remembered.InitialMaxStreamDataUni &&
		tp.InitialMaxStreamsBidi >= remembered.InitialMaxStreamsBidi &&
		tp.InitialMaxStreamsUni >= remembered.InitialMaxStreamsUni &&
		(tp.ResetStreamAt || !remembered.ResetStreamAt)
}
