package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// ParseTransportParameters parses the contents of the
// quic_transport_parameters TLS extension sent by the server or the client.
// Absent parameters have their default. The result does not alias b. Errors are
// of type *TransportParameterError.
//
// Whether a mandatory parameter is absent, and whether connection IDs match the
// packets', is for the caller to check.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.3
func ParseTransportParameters(b []byte, fromServer bool) (TransportParameters, error) {
	p := parameterParser{tp: DefaultTransportParameters(), fromServer: fromServer}
	for len(b) > 0 {
		id, n := ParseVarint(b)
		if n == 0 {
			return p.tp, &TransportParameterError{ID: id, Reason: "ends within its number"}
		}
		length, m := ParseVarint(b[n:])
		if m == 0 || uint64(len(b)-n-m) < length {
			return p.tp, &TransportParameterError{ID: id, Reason: "ends early"}
		}
		end := n + m + int(length)
		if reason := p.parameter(id, b[n+m:end]); reason != "" {
			return p.tp, &TransportParameterError{ID: id, Reason: reason}
		}
		b = b[end:]
	}
	// "Endpoints that support this extension MUST treat receipt of a
	// min_ack_delay that is greater than the max_ack_delay as a connection error
	// of type TRANSPORT_PARAMETER_ERROR."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-3
	if p.tp.HasMinAckDelay && p.tp.MinAckDelay > p.tp.MaxAckDelay {
		return p.tp, &TransportParameterError{ID: ParamMinAckDelay, Reason: "greater than max_ack_delay"}
	}
	return p.tp, nil
}

type parameterParser struct {
	tp         TransportParameters
	fromServer bool
	seen       uint32 // bit per known parameter, see parameterBit
}

// Reasons that several parameters share.
const (
	reasonLength     = "wrong length"
	reasonDuplicate  = "sent twice"
	reasonServerOnly = "sent by a client"
)

// parameterBit returns a small number for each parameter this package knows.
func parameterBit(id uint64) (bit uint, known bool) {
	switch {
	case id <= ParamVersionInformation:
		return uint(id), true
	case id == ParamResetStreamAt:
		return 18, true
	case id == ParamResetStreamAtProvisional:
		return 19, true
	case id == ParamGreaseQUICBit:
		return 20, true
	case id == ParamMinAckDelay:
		return 21, true
	}
	return 0, false
}

// parameter parses one parameter and returns what is wrong with it, if anything.
func (p *parameterParser) parameter(id uint64, v []byte) (reason string) {
	bit, known := parameterBit(id)
	if !known {
		return p.unknown(id, v)
	}
	// "An endpoint MUST NOT send a parameter more than once in a given transport
	// parameters extension. An endpoint SHOULD treat receipt of duplicate
	// transport parameters as a connection error of type
	// TRANSPORT_PARAMETER_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-7.4
	if p.seen>>bit&1 != 0 {
		return reasonDuplicate
	}
	p.seen |= 1 << bit

	tp := &p.tp
	switch id {
	case ParamOriginalDestinationConnectionID, ParamRetrySourceConnectionID,
		ParamStatelessResetToken, ParamPreferredAddress:
		return p.serverOnly(id, v)
	case ParamInitialSourceConnectionID:
		tp.HasInitialSourceConnectionID = true
		return connIDParameter(&tp.InitialSourceConnectionID, v)
	case ParamDisableActiveMigration:
		return flag(&tp.DisableActiveMigration, v)
	case ParamGreaseQUICBit:
		return flag(&tp.GreaseQUICBit, v)
	case ParamResetStreamAt, ParamResetStreamAtProvisional:
		return flag(&tp.ResetStreamAt, v)
	case ParamVersionInformation:
		tp.HasVersionInformation = true
		return tp.VersionInformation.parse(v, p.fromServer)
	}
	n, size := ParseVarint(v)
	if size == 0 || size != len(v) {
		return reasonLength
	}
	return tp.integer(id, n)
}

// unknown keeps a parameter for extensions.
func (p *parameterParser) unknown(id uint64, v []byte) (reason string) {
	for _, u := range p.tp.Unknown {
		if u.ID == id {
			return reasonDuplicate
		}
	}
	// "An endpoint MUST ignore transport parameters that it does not support."
	// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.2
	if len(p.tp.Unknown) < MaxUnknownParameters {
		p.tp.Unknown = append(p.tp.Unknown, RawParameter{ID: id, Value: bytes.Clone(v)})
	}
	return ""
}

func (p *parameterParser) serverOnly(id uint64, v []byte) (reason string) {
	// "A server MUST treat receipt of any of these transport parameters as a
	// connection error of type TRANSPORT_PARAMETER_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
	if !p.fromServer {
		return reasonServerOnly
	}
	tp := &p.tp
	switch id {
	case ParamOriginalDestinationConnectionID:
		tp.HasOriginalDestinationConnectionID = true
		return connIDParameter(&tp.OriginalDestinationConnectionID, v)
	case ParamRetrySourceConnectionID:
		tp.HasRetrySourceConnectionID = true
		return connIDParameter(&tp.RetrySourceConnectionID, v)
	case ParamStatelessResetToken:
		if len(v) != ResetTokenLen {
			return reasonLength
		}
		tp.HasStatelessResetToken = true
		copy(tp.StatelessResetToken[:], v)
	case ParamPreferredAddress:
		if !tp.PreferredAddress.parse(v) {
			return "malformed"
		}
		tp.HasPreferredAddress = true
	}
	return ""
}

// integer stores a parameter whose value is an integer.
func (tp *TransportParameters) integer(id, v uint64) (reason string) {
	switch id {
	case ParamMaxIdleTimeout:
		tp.MaxIdleTimeout = time.Duration(min(v, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
	case ParamMaxUDPPayloadSize:
		// "Values below 1200 are invalid."
		if v < MinUDPPayloadSize {
			return "below 1200"
		}
		tp.MaxUDPPayloadSize = v
	case ParamInitialMaxData:
		tp.InitialMaxData = v
	case ParamInitialMaxStreamDataBidiLocal:
		tp.InitialMaxStreamDataBidiLocal = v
	case ParamInitialMaxStreamDataBidiRemote:
		tp.InitialMaxStreamDataBidiRemote = v
	case ParamInitialMaxStreamDataUni:
		tp.InitialMaxStreamDataUni = v
	case ParamInitialMaxStreamsBidi, ParamInitialMaxStreamsUni:
		return tp.streamCount(id, v)
	case ParamAckDelayExponent:
		// "Values above 20 are invalid."
		if v > MaxAckDelayExponent {
			return "above 20"
		}
		tp.AckDelayExponent = v
	case ParamMaxAckDelay:
		// "Values of 2^14 or greater are invalid."
		if v >= MaxAckDelayLimit {
			return "2^14 or greater"
		}
		tp.MaxAckDelay = time.Duration(v) * time.Millisecond
	case ParamActiveConnectionIDLimit:
		// "The value of the active_connection_id_limit parameter MUST be at least
		// 2. An endpoint that receives a value less than 2 MUST close the
		// connection with an error of type TRANSPORT_PARAMETER_ERROR."
		if v < MinActiveConnectionIDLimit {
			return "below 2"
		}
		tp.ActiveConnectionIDLimit = v
	case ParamMinAckDelay:
		// No valid max_ack_delay reaches this limit.
		if v >= MaxAckDelayLimit*1000 {
			return "greater than max_ack_delay"
		}
		tp.HasMinAckDelay = true
		tp.MinAckDelay = time.Duration(v) * time.Microsecond
	}
	return ""
}

func (tp *TransportParameters) streamCount(id, v uint64) (reason string) {
	// "If a max_streams transport parameter or a MAX_STREAMS frame is received
	// with a value greater than 2^60, […] the connection MUST be closed
	// immediately with a connection error of type TRANSPORT_PARAMETER_ERROR if
	// the offending value was received in a transport parameter"
	// https://www.rfc-editor.org/rfc/rfc9000#section-4.6
	if v > MaxStreamCount {
		return "above 2^60"
	}
	if id == ParamInitialMaxStreamsBidi {
		tp.InitialMaxStreamsBidi = v
	} else {
		tp.InitialMaxStreamsUni = v
	}
	return ""
}

func connIDParameter(c *ConnID, v []byte) (reason string) {
	id, ok := MakeConnID(v)
	if !ok {
		return "longer than 20 bytes"
	}
	*c = id
	return ""
}

func flag(f *bool, v []byte) (reason string) {
	if len(v) != 0 {
		return reasonLength
	}
	*f = true
	return ""
}

func (vi *VersionInformation) parse(v []byte, fromServer bool) (reason string) {
	// "If that leads to a parsing failure (for example, if it is too short or if
	// its length is not divisible by four), then the endpoint MUST close the
	// connection" https://www.rfc-editor.org/rfc/rfc9368#section-4
	if len(v) < 4 || len(v)%4 != 0 {
		return reasonLength
	}
	vi.Chosen = Version(binary.BigEndian.Uint32(v))
	v = v[4:]
	vi.Available = make([]Version, len(v)/4)
	for i := range vi.Available {
		vi.Available[i] = Version(binary.BigEndian.Uint32(v[4*i:]))
	}
	// "If an endpoint receives a Chosen Version equal to zero, or any Available
	// Version equal to zero, it MUST treat it as a parsing failure. If a server
	// receives Version Information where the Chosen Version is not included in
	// Available Versions, it MUST treat it as a parsing failure."
	// https://www.rfc-editor.org/rfc/rfc9368#section-4
	if vi.Chosen == 0 || slices.Contains(vi.Available, 0) {
		return "version zero"
	}
	if !fromServer && !slices.Contains(vi.Available, vi.Chosen) {
		return "Chosen Version is not available"
	}
	return ""
}
