package http3

import (
	"math"

	"github.com/pquic-go/pquic/core/wire"
)

// Setting identifiers.
//
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.1
// https://www.rfc-editor.org/rfc/rfc9204#section-5
// https://www.rfc-editor.org/rfc/rfc9220#section-5
// https://www.rfc-editor.org/rfc/rfc9297#section-5.1
const (
	settingQPACKMaxTableCapacity = 0x01
	settingMaxFieldSectionSize   = 0x06
	settingQPACKBlockedStreams   = 0x07
	settingEnableConnectProtocol = 0x08
	settingH3Datagram            = 0x33
)

// maxSettings bounds the SETTINGS payload in bytes and with it the number of
// unknown settings that are skipped.
const maxSettings = 4096

// Settings are one end's SETTINGS, by what they allow the other end to do. The
// zero Settings (with MaxFieldSectionSize meaning "not limited") are the
// initial values.
type Settings struct {
	// MaxFieldSectionSize is the largest header or trailer section the sender
	// accepts, in bytes as counted by RFC 9114 section 4.2.2. 0 in what is
	// sent means the setting is omitted; what was received is
	// math.MaxUint64 if the peer set no limit.
	MaxFieldSectionSize uint64
	// QPACKMaxTableCapacity and QPACKBlockedStreams are what the peer's decoder
	// offers. This end offers none and uses none.
	QPACKMaxTableCapacity uint64
	QPACKBlockedStreams   uint64
	// EnableConnectProtocol: extended CONNECT is accepted (RFC 9220).
	EnableConnectProtocol bool
	// H3Datagram: HTTP/3 datagrams are accepted (RFC 9297).
	H3Datagram bool
}

// initialSettings are a peer's settings before its SETTINGS frame.
var initialSettings = Settings{MaxFieldSectionSize: math.MaxUint64}

// appendSettings appends a SETTINGS frame. grease selects the reserved setting
// that goes with it.
//
// "Endpoints SHOULD include at least one such setting in their SETTINGS frame."
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.1
func appendSettings(b []byte, s *Settings, grease uint32) []byte {
	var p []byte
	put := func(id, v uint64) { p = wire.AppendVarint(wire.AppendVarint(p, id), v) }
	// The defaults of these two are 0 as well; saying so spares middleboxes
	// and readers of traces the guess.
	put(settingQPACKMaxTableCapacity, 0)
	put(settingQPACKBlockedStreams, 0)
	if s.MaxFieldSectionSize > 0 {
		put(settingMaxFieldSectionSize, min(s.MaxFieldSectionSize, wire.MaxVarint))
	}
	if s.EnableConnectProtocol {
		put(settingEnableConnectProtocol, 1)
	}
	if s.H3Datagram {
		put(settingH3Datagram, 1)
	}
	put(greased(grease), uint64(grease))
	return append(appendFrameHeader(b, FrameSettings, uint64(len(p))), p...)
}

// parseSettings reads a SETTINGS payload.
func parseSettings(p []byte) (Settings, error) {
	s := initialSettings
	var seen uint64 // bits of the known identifiers met so far
	for len(p) > 0 {
		id, n := wire.ParseVarint(p)
		v, m := wire.ParseVarint(p[n:])
		if n == 0 || m == 0 {
			return s, connErrorf(CodeFrameError, "SETTINGS ends inside a parameter")
		}
		p = p[n+m:]
		if id < 64 {
			// "The same setting identifier MUST NOT occur more than once in the
			// SETTINGS frame."
			// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4
			if seen>>id&1 != 0 {
				return s, connErrorf(CodeSettingsError, "setting 0x%x occurs twice", id)
			}
			seen |= 1 << id
		}
		if err := s.set(id, v); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Settings) set(id, v uint64) (err error) {
	switch id {
	case settingMaxFieldSectionSize:
		s.MaxFieldSectionSize = v
	case settingQPACKMaxTableCapacity:
		s.QPACKMaxTableCapacity = v
	case settingQPACKBlockedStreams:
		s.QPACKBlockedStreams = v
	case settingEnableConnectProtocol:
		s.EnableConnectProtocol, err = boolSetting("SETTINGS_ENABLE_CONNECT_PROTOCOL", v)
	case settingH3Datagram:
		// "If the SETTINGS_H3_DATAGRAM setting is received with a value that is
		// neither 0 nor 1, the receiver MUST terminate the connection with error
		// H3_SETTINGS_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
		s.H3Datagram, err = boolSetting("SETTINGS_H3_DATAGRAM", v)
	case 0x00, 0x02, 0x03, 0x04, 0x05:
		// "These reserved settings MUST NOT be sent, and their receipt MUST be
		// treated as a connection error of type H3_SETTINGS_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.1
		err = connErrorf(CodeSettingsError, "setting 0x%x belongs to HTTP/2", id)
	}
	return err
}

func boolSetting(name string, v uint64) (bool, error) {
	if v > 1 {
		return false, connErrorf(CodeSettingsError, "%s is %d, want 0 or 1", name, v)
	}
	return v == 1, nil
}
