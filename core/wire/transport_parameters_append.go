package wire

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Append appends the parameters in the form of the quic_transport_parameters TLS
// extension. Values equal to the default are left out, and so are the
// server-only ones unless fromServer.
// https://www.rfc-editor.org/rfc/rfc9000#section-18
func (tp *TransportParameters) Append(b []byte, fromServer bool) []byte {
	b = tp.appendIntegers(b)
	b = appendFlag(b, ParamDisableActiveMigration, tp.DisableActiveMigration)
	b = appendFlag(b, ParamGreaseQUICBit, tp.GreaseQUICBit)
	b = appendFlag(b, ParamResetStreamAt, tp.ResetStreamAt)
	b = appendFlag(b, ParamResetStreamAtProvisional, tp.ResetStreamAt)
	if tp.HasInitialSourceConnectionID {
		b = appendConnIDParameter(b, ParamInitialSourceConnectionID, tp.InitialSourceConnectionID)
	}
	if tp.HasVersionInformation {
		b = tp.VersionInformation.append(b)
	}
	// "A client MUST NOT include any server-only transport parameter"
	// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
	if fromServer {
		b = tp.appendServerOnly(b)
	}
	for _, p := range tp.Unknown {
		b = appendParameterHeader(b, p.ID, len(p.Value))
		b = append(b, p.Value...)
	}
	return b
}

func (tp *TransportParameters) appendIntegers(b []byte) []byte {
	b = appendInteger(b, ParamMaxIdleTimeout, roundUp(tp.MaxIdleTimeout, time.Millisecond), 0)
	b = appendInteger(b, ParamMaxUDPPayloadSize, tp.MaxUDPPayloadSize, DefaultMaxUDPPayloadSize)
	b = appendInteger(b, ParamInitialMaxData, tp.InitialMaxData, 0)
	b = appendInteger(b, ParamInitialMaxStreamDataBidiLocal, tp.InitialMaxStreamDataBidiLocal, 0)
	b = appendInteger(b, ParamInitialMaxStreamDataBidiRemote, tp.InitialMaxStreamDataBidiRemote, 0)
	b = appendInteger(b, ParamInitialMaxStreamDataUni, tp.InitialMaxStreamDataUni, 0)
	b = appendInteger(b, ParamInitialMaxStreamsBidi, tp.InitialMaxStreamsBidi, 0)
	b = appendInteger(b, ParamInitialMaxStreamsUni, tp.InitialMaxStreamsUni, 0)
	b = appendInteger(b, ParamAckDelayExponent, tp.AckDelayExponent, DefaultAckDelayExponent)
	b = appendInteger(b, ParamMaxAckDelay, roundUp(tp.MaxAckDelay, time.Millisecond),
		uint64(DefaultMaxAckDelay/time.Millisecond))
	b = appendInteger(b, ParamActiveConnectionIDLimit, tp.ActiveConnectionIDLimit, MinActiveConnectionIDLimit)
	if tp.HasMinAckDelay {
		v := roundUp(tp.MinAckDelay, time.Microsecond)
		b = appendParameterHeader(b, ParamMinAckDelay, VarintLen(v))
		b = AppendVarint(b, v)
	}
	return b
}

func (tp *TransportParameters) appendServerOnly(b []byte) []byte {
	if tp.HasOriginalDestinationConnectionID {
		b = appendConnIDParameter(b, ParamOriginalDestinationConnectionID, tp.OriginalDestinationConnectionID)
	}
	if tp.HasRetrySourceConnectionID {
		b = appendConnIDParameter(b, ParamRetrySourceConnectionID, tp.RetrySourceConnectionID)
	}
	if tp.HasStatelessResetToken {
		b = appendParameterHeader(b, ParamStatelessResetToken, len(tp.StatelessResetToken))
		b = append(b, tp.StatelessResetToken[:]...)
	}
	if tp.HasPreferredAddress {
		b = tp.PreferredAddress.append(b)
	}
	return b
}

func appendParameterHeader(b []byte, id uint64, n int) []byte {
	return AppendVarint(AppendVarint(b, id), uint64(n))
}

func appendInteger(b []byte, id, v, def uint64) []byte {
	if v == def {
		return b
	}
	b = appendParameterHeader(b, id, VarintLen(v))
	return AppendVarint(b, v)
}

func appendFlag(b []byte, id uint64, on bool) []byte {
	if !on {
		return b
	}
	return appendParameterHeader(b, id, 0)
}

func appendConnIDParameter(b []byte, id uint64, c ConnID) []byte {
	return c.AppendTo(appendParameterHeader(b, id, c.Len()))
}

func (v *VersionInformation) append(b []byte) []byte {
	b = appendParameterHeader(b, ParamVersionInformation, 4+4*len(v.Available))
	b = binary.BigEndian.AppendUint32(b, uint32(v.Chosen))
	for _, a := range v.Available {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
	}
	return b
}

// preferredAddressLen is the length of a preferred address without the
// connection ID.
const preferredAddressLen = 4 + 2 + 16 + 2 + 1 + ResetTokenLen

func (p *PreferredAddress) append(b []byte) []byte {
	b = appendParameterHeader(b, ParamPreferredAddress, preferredAddressLen+p.ConnID.Len())
	// "Servers MAY choose to only send a preferred address of one address family
	// by sending an all-zero address and port (0.0.0.0:0 or [::]:0) for the other
	// family." https://www.rfc-editor.org/rfc/rfc9000#section-18.2
	var ip4 [4]byte
	var ip6 [16]byte
	var port4, port6 uint16
	if a := p.IPv4.Addr().Unmap(); a.Is4() {
		ip4, port4 = a.As4(), p.IPv4.Port()
	}
	if p.IPv6.IsValid() {
		ip6, port6 = p.IPv6.Addr().As16(), p.IPv6.Port()
	}
	b = append(b, ip4[:]...)
	b = binary.BigEndian.AppendUint16(b, port4)
	b = append(b, ip6[:]...)
	b = binary.BigEndian.AppendUint16(b, port6)
	b = append(b, p.ConnID.n)
	b = p.ConnID.AppendTo(b)
	return append(b, p.ResetToken[:]...)
}

// parse reads the value of a preferred_address parameter and reports whether it
// is well formed.
func (p *PreferredAddress) parse(v []byte) bool {
	if len(v) < preferredAddressLen {
		return false
	}
	p.IPv4 = addrPort(netip.AddrFrom4([4]byte(v[:4])), v[4:6])
	p.IPv6 = addrPort(netip.AddrFrom16([16]byte(v[6:22])), v[22:24])
	n := int(v[24])
	if len(v) != preferredAddressLen+n {
		return false
	}
	// "a server MUST NOT include a zero-length connection ID in this transport
	// parameter" https://www.rfc-editor.org/rfc/rfc9000#section-18.2
	var ok bool
	if p.ConnID, ok = MakeConnID(v[25 : 25+n]); !ok || n == 0 {
		return false
	}
	copy(p.ResetToken[:], v[25+n:])
	return true
}

// addrPort joins an address and a port of two bytes; all zeros mean none.
func addrPort(a netip.Addr, port []byte) netip.AddrPort {
	n := binary.BigEndian.Uint16(port)
	if a.IsUnspecified() && n == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, n)
}

// roundUp returns d in whole units, rounded up; a negative d counts as 0.
func roundUp(d, unit time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64((d-1)/unit) + 1
}
