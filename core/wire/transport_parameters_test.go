package wire

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The transport parameters of the sample client Initial.
// https://www.rfc-editor.org/rfc/rfc9001#appendix-A.2
func TestTransportParametersSample(t *testing.T) {
	in := unhex(t, `0408ffffffffffffffff 05048000ffff 07048000ffff 080110
		010480007530 090110 0f088394c8f03e515708 06048000ffff`)
	want := DefaultTransportParameters()
	want.InitialMaxData = MaxVarint
	want.InitialMaxStreamDataBidiLocal = 65535
	want.InitialMaxStreamDataUni = 65535
	want.InitialMaxStreamsBidi = 16
	want.MaxIdleTimeout = 30 * time.Second
	want.InitialMaxStreamsUni = 16
	want.HasInitialSourceConnectionID = true
	want.InitialSourceConnectionID = mustConnID(t, "8394c8f03e515708")
	want.InitialMaxStreamDataBidiRemote = 65535
	got, err := ParseTransportParameters(in, false)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, %v; want %+v", got, err, want)
	}
}

func TestTransportParametersDefaults(t *testing.T) {
	for _, fromServer := range []bool{false, true} {
		got, err := ParseTransportParameters(nil, fromServer)
		if err != nil || !reflect.DeepEqual(got, DefaultTransportParameters()) {
			t.Errorf("parsed %+v, %v", got, err)
		}
	}
	tp := DefaultTransportParameters()
	if b := tp.Append(nil, true); len(b) != 0 {
		t.Errorf("defaults are written as %x", b)
	}
	if tp.MaxUDPPayloadSize != 65527 || tp.AckDelayExponent != 3 || tp.MaxAckDelay != 25*time.Millisecond ||
		tp.ActiveConnectionIDLimit != 2 {
		t.Errorf("defaults are %+v", tp)
	}
}

func TestTransportParametersMalformed(t *testing.T) {
	const token = "000102030405060708090a0b0c0d0e0f"
	const addrs = "c0000201 01bb 20010db8000000000000000000000001 01bb"
	for _, tt := range []struct {
		why, hex string
		id       uint64
	}{
		{"number cut", "40", 0},
		{"no length", "04", ParamInitialMaxData},
		{"length cut", "04 40", ParamInitialMaxData},
		{"value ends early", "04 02 01", ParamInitialMaxData},
		{"length of 2^62-1", "04 ffffffffffffffff 01", ParamInitialMaxData},
		{"empty integer", "04 00", ParamInitialMaxData},
		{"integer and more", "04 02 01 01", ParamInitialMaxData},
		{"integer cut", "04 01 40", ParamInitialMaxData},
		{"duplicate", "04 01 01 04 01 01", ParamInitialMaxData},
		{"duplicate of an extension", "20 01 01 20 01 01", 0x20},
		{"duplicate reset_stream_at", "1d 00 1d 00", ParamResetStreamAt},
		{"max_udp_payload_size of 1199", "03 02 44af", ParamMaxUDPPayloadSize},
		{"initial_max_streams_bidi beyond 2^60", "08 08 d000000000000001", ParamInitialMaxStreamsBidi},
		{"initial_max_streams_uni beyond 2^60", "09 08 d000000000000001", ParamInitialMaxStreamsUni},
		{"ack_delay_exponent of 21", "0a 01 15", ParamAckDelayExponent},
		{"max_ack_delay of 2^14", "0b 04 80004000", ParamMaxAckDelay},
		{"disable_active_migration with a value", "0c 01 00", ParamDisableActiveMigration},
		{"active_connection_id_limit of 1", "0e 01 01", ParamActiveConnectionIDLimit},
		{"active_connection_id_limit of 0", "0e 01 00", ParamActiveConnectionIDLimit},
		{"original_destination_connection_id of 21 bytes", "00 15 000102030405060708090a0b0c0d0e0f1011121314", ParamOriginalDestinationConnectionID},
		{"initial_source_connection_id of 21 bytes", "0f 15 000102030405060708090a0b0c0d0e0f1011121314", ParamInitialSourceConnectionID},
		{"retry_source_connection_id of 21 bytes", "10 15 000102030405060708090a0b0c0d0e0f1011121314", ParamRetrySourceConnectionID},
		{"stateless_reset_token of 15 bytes", "02 0f " + token[:30], ParamStatelessResetToken},
		{"stateless_reset_token of 17 bytes", "02 11 ff" + token, ParamStatelessResetToken},
		{"preferred_address, too short", "0d 18" + addrs, ParamPreferredAddress},
		{"preferred_address, zero-length connection ID", "0d 29" + addrs + "00" + token, ParamPreferredAddress},
		{"preferred_address, connection ID ends early", "0d 2a" + addrs + "02 aa" + token, ParamPreferredAddress},
		{"preferred_address and more", "0d 2b" + addrs + "01 aa" + token + "ff", ParamPreferredAddress},
		{"preferred_address, connection ID of 21 bytes", "0d 3e" + addrs + "15" + strings.Repeat("aa", 21) + token, ParamPreferredAddress},
		{"version_information, empty", "11 00", ParamVersionInformation},
		{"version_information of 3 bytes", "11 03 000001", ParamVersionInformation},
		{"version_information of 6 bytes", "11 06 000000010000", ParamVersionInformation},
		{"Chosen Version of zero", "11 08 00000000 00000001", ParamVersionInformation},
		{"Available Version of zero", "11 0c 00000001 00000001 00000000", ParamVersionInformation},
		{"reset_stream_at with a value", "1d 01 00", ParamResetStreamAt},
		{"reset_stream_at of earlier drafts with a value", "c017f7586d2cb571 01 00", ParamResetStreamAtProvisional},
		{"grease_quic_bit with a value", "6ab2 01 01", ParamGreaseQUICBit},
		{"min_ack_delay above the default max_ack_delay", "c0000000ff04de1b 04 800061a9", ParamMinAckDelay},
		{"min_ack_delay above max_ack_delay", "c0000000ff04de1b 02 43e9 0b 01 01", ParamMinAckDelay},
		{"min_ack_delay of 2^62-1", "c0000000ff04de1b 08 ffffffffffffffff", ParamMinAckDelay},
	} {
		wantParameterError(t, tt.why, unhex(t, tt.hex), tt.id, true)
	}
	for id, v := range map[uint64]string{
		ParamOriginalDestinationConnectionID: "00 01 aa",
		ParamStatelessResetToken:             "02 10" + token,
		ParamPreferredAddress:                "0d 2a" + addrs + "01 aa" + token,
		ParamRetrySourceConnectionID:         "10 01 aa",
	} {
		if _, err := ParseTransportParameters(unhex(t, v), true); err != nil {
			t.Errorf("%s from a server: %v", ParameterName(id), err)
		}
		wantParameterError(t, "server-only, from a client", unhex(t, v), id, false)
	}
	notAvailable := unhex(t, "11 08 00000001 6b3343cf")
	if _, err := ParseTransportParameters(notAvailable, true); err != nil {
		t.Errorf("server without its Chosen Version among the available: %v", err)
	}
	wantParameterError(t, "client without its Chosen Version among the available", notAvailable, ParamVersionInformation, false)
}

func wantParameterError(t *testing.T, why string, b []byte, id uint64, fromServer bool) {
	t.Helper()
	_, err := ParseTransportParameters(b[:len(b):len(b)], fromServer)
	var e *TransportParameterError
	if !errors.As(err, &e) || e.ID != id || !strings.Contains(e.Error(), ParameterName(id)) {
		t.Errorf("%s (%x): %v, want an error about %s", why, b, err, ParameterName(id))
	}
}

func TestTransportParametersLimits(t *testing.T) {
	tp, err := ParseTransportParameters(unhex(t, `01 08 ffffffffffffffff 03 02 44b0 08 08 d000000000000000
		0a 01 14 0b 02 7fff 0e 01 02 c0000000ff04de1b 04 80f9fc18`), false)
	if err != nil {
		t.Fatal(err)
	}
	if tp.MaxIdleTimeout < math.MaxInt64-time.Millisecond || tp.MaxUDPPayloadSize != 1200 ||
		tp.InitialMaxStreamsBidi != MaxStreamCount || tp.AckDelayExponent != 20 || tp.MaxAckDelay != 16383*time.Millisecond ||
		tp.MinAckDelay != 16383*time.Millisecond {
		t.Errorf("parsed %+v", tp)
	}
	again, err := ParseTransportParameters(tp.Append(nil, false), false)
	if err != nil || !reflect.DeepEqual(again, tp) {
		t.Errorf("reads back as %+v, %v; want %+v", again, err, tp)
	}
}

func TestTransportParametersRounding(t *testing.T) {
	tp := DefaultTransportParameters()
	tp.MaxIdleTimeout = 1
	tp.MaxAckDelay = 20*time.Millisecond + 1
	tp.MinAckDelay, tp.HasMinAckDelay = 20*time.Millisecond+1, true
	got, err := ParseTransportParameters(tp.Append(nil, false), false)
	if err != nil {
		t.Fatal(err)
	}
	if got.MaxIdleTimeout != time.Millisecond || got.MaxAckDelay != 21*time.Millisecond || got.MinAckDelay != 20001*time.Microsecond {
		t.Errorf("idle timeout %v, max_ack_delay %v, min_ack_delay %v; want them rounded up", got.MaxIdleTimeout, got.MaxAckDelay, got.MinAckDelay)
	}
	tp.MaxIdleTimeout = -5
	if got, _ := ParseTransportParameters(tp.Append(nil, false), false); got.MaxIdleTimeout != 0 {
		t.Errorf("a negative idle timeout reads back as %v", got.MaxIdleTimeout)
	}
}

// Either number of reset_stream_at turns it on, and both are sent.
func TestResetStreamAtParameter(t *testing.T) {
	for _, id := range []uint64{ParamResetStreamAt, ParamResetStreamAtProvisional} {
		if tp, err := ParseTransportParameters(appendParameterHeader(nil, id, 0), false); err != nil || !tp.ResetStreamAt {
			t.Errorf("%#x alone: %v, %v", id, tp.ResetStreamAt, err)
		}
	}
	tp := DefaultTransportParameters()
	tp.ResetStreamAt = true
	if b := tp.Append(nil, false); len(b) != 2+9 {
		t.Errorf("wrote %x", b)
	}
}

func TestTransportParametersUnknown(t *testing.T) {
	var b []byte
	for i := range uint64(MaxUnknownParameters + 10) {
		b = appendParameterHeader(b, 0x100+i, 1)
		b = append(b, byte(i))
	}
	tp, err := ParseTransportParameters(b, true)
	if err != nil || len(tp.Unknown) != MaxUnknownParameters {
		t.Fatalf("kept %d parameters, %v; want %d", len(tp.Unknown), err, MaxUnknownParameters)
	}
	clear(b)
	for i, p := range tp.Unknown {
		if p.ID != 0x100+uint64(i) || len(p.Value) != 1 || p.Value[0] != byte(i) {
			t.Errorf("parameter %d is %+v", i, p)
		}
	}
}

func TestParameterNumbers(t *testing.T) {
	for _, seed := range []uint64{0, 1, 148764065110560900, math.MaxUint64} {
		if id := GreasedParameterID(seed); !IsReservedParameter(id) || id > MaxVarint {
			t.Errorf("GreasedParameterID(%d) = %d", seed, id)
		}
	}
	for id, want := range map[uint64]string{
		0x00: "original_destination_connection_id", 0x11: "version_information", 0x1d: "reset_stream_at",
		0x2ab2: "grease_quic_bit", 0xff04de1b: "min_ack_delay", 0x20: "0x20",
	} {
		if got := ParameterName(id); got != want {
			t.Errorf("ParameterName(%#x) = %q, want %q", id, got, want)
		}
		if got := KnownParameter(id); got != (id != 0x20) {
			t.Errorf("KnownParameter(%#x) = %v", id, got)
		}
	}
	if IsReservedParameter(ParamInitialMaxData) || !IsReservedParameter(27) {
		t.Error("IsReservedParameter is wrong")
	}
}

// randParameters returns parameters that survive a round trip: durations are
// whole units, and server-only ones are present only if fromServer.
func randParameters(r *rand.Rand, fromServer bool) TransportParameters {
	flip := func() bool { return r.IntN(2) == 0 }
	tp := DefaultTransportParameters()
	for _, v := range []*uint64{
		&tp.InitialMaxData, &tp.InitialMaxStreamDataBidiLocal, &tp.InitialMaxStreamDataBidiRemote, &tp.InitialMaxStreamDataUni,
	} {
		*v = randVarint(r)
	}
	tp.InitialMaxStreamsBidi = randVarint(r) >> 2
	tp.InitialMaxStreamsUni = randVarint(r) >> 2
	tp.MaxUDPPayloadSize = 1200 + r.Uint64N(70000)
	tp.ActiveConnectionIDLimit = 2 + r.Uint64N(100)
	tp.AckDelayExponent = r.Uint64N(21)
	tp.MaxAckDelay = time.Duration(r.IntN(1<<14)) * time.Millisecond
	tp.MaxIdleTimeout = time.Duration(r.IntN(1e6)) * time.Millisecond
	tp.DisableActiveMigration, tp.GreaseQUICBit, tp.ResetStreamAt = flip(), flip(), flip()
	if tp.HasMinAckDelay = flip(); tp.HasMinAckDelay {
		tp.MinAckDelay = time.Duration(r.Int64N(int64(tp.MaxAckDelay)/1000+1)) * time.Microsecond
	}
	if tp.HasInitialSourceConnectionID = flip(); tp.HasInitialSourceConnectionID {
		tp.InitialSourceConnectionID = randConnID(r)
	}
	if tp.HasVersionInformation = flip(); tp.HasVersionInformation {
		tp.VersionInformation = VersionInformation{Version1, []Version{Version2, Version1, GreasedVersion(r.Uint32())}}
	}
	for id := uint64(0x20); flip(); id++ {
		tp.Unknown = append(tp.Unknown, RawParameter{id, append([]byte{1}, randBytes(r, r.IntN(9))...)})
	}
	if fromServer {
		randServerParameters(r, &tp)
	}
	return tp
}

func randServerParameters(r *rand.Rand, tp *TransportParameters) {
	tp.HasOriginalDestinationConnectionID = true
	tp.OriginalDestinationConnectionID = randConnID(r)
	if tp.HasRetrySourceConnectionID = r.IntN(2) == 0; tp.HasRetrySourceConnectionID {
		tp.RetrySourceConnectionID = randConnID(r)
	}
	if tp.HasStatelessResetToken = r.IntN(2) == 0; tp.HasStatelessResetToken {
		tp.StatelessResetToken = [ResetTokenLen]byte(randBytes(r, ResetTokenLen))
	}
	if tp.HasPreferredAddress = r.IntN(2) == 0; tp.HasPreferredAddress {
		p := &tp.PreferredAddress
		p.ConnID, _ = MakeConnID(randBytes(r, 1+r.IntN(MaxConnIDLen)))
		p.ResetToken = [ResetTokenLen]byte(randBytes(r, ResetTokenLen))
		if r.IntN(2) == 0 {
			p.IPv4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte(randBytes(r, 4))), 443)
		}
		if r.IntN(2) == 0 {
			p.IPv6 = netip.AddrPortFrom(netip.AddrFrom16([16]byte(randBytes(r, 16))), 443)
		}
	}
}

func TestTransportParametersRoundTrip(t *testing.T) {
	r := newRand(8)
	for i := range 3000 {
		fromServer := i%2 == 0
		tp := randParameters(r, fromServer)
		b := tp.Append([]byte{0xee}, fromServer)[1:]
		got, err := ParseTransportParameters(b, fromServer)
		if err != nil || !reflect.DeepEqual(got, tp) {
			t.Fatalf("%+v\nreads back as\n%+v, %v", tp, got, err)
		}
		if fromServer {
			if _, err := ParseTransportParameters(tp.Append(nil, false), false); err != nil {
				t.Fatalf("as a client: %v", err)
			}
		}
	}
}

func TestPreferredAddressFamilies(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:443")
	tp := DefaultTransportParameters()
	tp.HasPreferredAddress = true
	tp.PreferredAddress = PreferredAddress{IPv4: mapped, ConnID: mustConnID(t, "aa")}
	got, err := ParseTransportParameters(tp.Append(nil, true), true)
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParseAddrPort("192.0.2.1:443"); got.PreferredAddress.IPv4 != want || got.PreferredAddress.IPv6.IsValid() {
		t.Errorf("IPv4 %v, IPv6 %v; want %v and none", got.PreferredAddress.IPv4, got.PreferredAddress.IPv6, want)
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#section-7.4.1
func TestRememberedParameters(t *testing.T) {
	r := newRand(9)
	tp := randParameters(r, true)
	tp.ResetStreamAt = true
	m := tp.Remembered()
	if m.AckDelayExponent != 3 || m.MaxAckDelay != DefaultMaxAckDelay || m.HasInitialSourceConnectionID || m.HasMinAckDelay ||
		m.HasOriginalDestinationConnectionID || m.HasPreferredAddress || m.HasRetrySourceConnectionID || m.HasStatelessResetToken {
		t.Errorf("remembered what must not be: %+v", m)
	}
	if !tp.Covers(&m) {
		t.Error("the parameters do not cover themselves")
	}
	for i, less := range []func(*TransportParameters){
		func(p *TransportParameters) { p.ActiveConnectionIDLimit-- },
		func(p *TransportParameters) { p.InitialMaxData-- },
		func(p *TransportParameters) { p.InitialMaxStreamDataBidiLocal-- },
		func(p *TransportParameters) { p.InitialMaxStreamDataBidiRemote-- },
		func(p *TransportParameters) { p.InitialMaxStreamDataUni-- },
		func(p *TransportParameters) { p.InitialMaxStreamsBidi-- },
		func(p *TransportParameters) { p.InitialMaxStreamsUni-- },
		func(p *TransportParameters) { p.ResetStreamAt = false },
	} {
		now := m
		now.InitialMaxData, now.InitialMaxStreamsBidi, now.InitialMaxStreamsUni = 10, 10, 10
		now.InitialMaxStreamDataBidiLocal, now.InitialMaxStreamDataBidiRemote, now.InitialMaxStreamDataUni = 10, 10, 10
		before := now
		less(&now)
		if now.Covers(&before) {
			t.Errorf("reduction %d is accepted", i)
		}
		if !before.Covers(&now) {
			t.Errorf("extension %d is refused", i)
		}
	}
}
