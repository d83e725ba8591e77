package qlog

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	start = mono.Time(1_784_800_000_123_456_789)
	ms    = time.Millisecond
)

func connID(t testing.TB, b ...byte) wire.ConnID {
	t.Helper()
	c, ok := wire.MakeConnID(b)
	if !ok {
		t.Fatal("connection ID too long")
	}
	return c
}

func newTrace(t testing.TB, w *bytes.Buffer, d Dialect) *Trace {
	return New(w, Info{
		ODCID: connID(t, 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08), Server: true, Start: start,
		Title: "every \"event\"", Description: "one of each", Name: "test", Dialect: d,
		Schemas: []string{"https://example.org/112026/demo"},
	})
}

// everyFrame is a payload of one frame of each type, DATAGRAM frames and one
// unknown frame last.
func everyFrame(t testing.TB) []byte {
	b := wire.AppendPing(nil)
	b = wire.AppendAck(b, wire.Ack, []wire.PNRange{{Lo: 90, Hi: 99}, {Lo: 7, Hi: 7}, {Lo: 0, Hi: 3}}, 125, wire.ECNCounts{}, 100)
	b = wire.AppendAck(b, wire.AckECN, []wire.PNRange{{Lo: 5, Hi: 5}}, 0, wire.ECNCounts{ECT0: 10, ECT1: 11, CE: 12}, 100)
	b = wire.AppendResetStream(b, wire.ResetStreamFrame{ID: 4, ErrorCode: 0x10c, FinalSize: 1000})
	b = wire.AppendStopSending(b, wire.StopSendingFrame{ID: 8, ErrorCode: 0})
	b = wire.AppendCrypto(b, wire.CryptoFrame{Offset: 3, Data: []byte("hello")})
	b = wire.AppendNewToken(b, wire.NewTokenFrame{Token: []byte("token")})
	b = wire.AppendStream(b, wire.StreamFrame{ID: 0, Data: []byte("first")}, true)
	b = wire.AppendStream(b, wire.StreamFrame{ID: 7, Offset: 1 << 60, Data: []byte("last"), Fin: true}, true)
	b = wire.AppendMaxData(b, wire.MaxDataFrame{Max: wire.MaxVarint})
	b = wire.AppendMaxStreamData(b, wire.MaxStreamDataFrame{ID: 4, Max: 1 << 53})
	b = wire.AppendMaxStreams(b, wire.MaxStreamsFrame{Max: 100})
	b = wire.AppendMaxStreams(b, wire.MaxStreamsFrame{Max: 3, Uni: true})
	b = wire.AppendDataBlocked(b, wire.DataBlockedFrame{Limit: 1<<53 - 1})
	b = wire.AppendStreamDataBlocked(b, wire.StreamDataBlockedFrame{ID: 4, Limit: 2})
	b = wire.AppendStreamsBlocked(b, wire.StreamsBlockedFrame{Limit: 1})
	b = wire.AppendStreamsBlocked(b, wire.StreamsBlockedFrame{Limit: 1, Uni: true})
	b = wire.AppendNewConnectionID(b, wire.NewConnectionIDFrame{Sequence: 2, RetirePriorTo: 1, ConnID: connID(t, 0xab, 0xcd)})
	b = wire.AppendRetireConnectionID(b, wire.RetireConnectionIDFrame{Sequence: 1})
	b = wire.AppendPathChallenge(b, wire.PathChallengeFrame{Data: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}})
	b = wire.AppendPathResponse(b, wire.PathResponseFrame{Data: [8]byte{8, 7, 6, 5, 4, 3, 2, 1}})
	b = wire.AppendConnectionClose(b, wire.ConnectionCloseFrame{ErrorCode: 0x0a, FrameType: wire.Stream | 1, Reason: []byte("bad \"frame\"\n")})
	b = wire.AppendConnectionClose(b, wire.ConnectionCloseFrame{ErrorCode: 0x128, FrameType: 0x4242})
	b = wire.AppendConnectionClose(b, wire.ConnectionCloseFrame{ErrorCode: 0x11, Reason: []byte{0xff, 0xfe}})
	b = wire.AppendConnectionClose(b, wire.ConnectionCloseFrame{Application: true, ErrorCode: 0x100})
	b = wire.AppendHandshakeDone(b)
	b = wire.AppendImmediateAck(b)
	b = wire.AppendResetStreamAt(b, wire.ResetStreamAtFrame{ID: 4, ErrorCode: 1, FinalSize: 10, ReliableSize: 5})
	b = wire.AppendAckFrequency(b, wire.AckFrequencyFrame{Sequence: 1, AckElicitingThreshold: 10, RequestedMaxAckDelay: 25_000, ReorderingThreshold: 3})
	b = append(b, 0x31, 2, 'h', 'i')
	b = append(b, 0x40, 0x45, 9, 9) // a plugin's
	b = wire.AppendPadding(b, 20)
	return append(b, 0x40, 0x46, 1, 2, 3) // nobody's
}

// everyEvent calls every method of t, in an order that a connection could have.
func everyEvent(tb testing.TB, t *Trace) {
	now := start
	next := func() mono.Time {
		now = now.Add(1*ms + 234567)
		return now
	}
	local, remote := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::2]:50000")
	src, dst := connID(tb, 1, 2, 3, 4), connID(tb)

	t.ConnectionStarted(start, local, remote, src, dst)
	t.VersionInformation(next(), []wire.Version{wire.Version1, wire.Version2}, []wire.Version{0x1a2a3a4a, wire.Version1}, wire.Version2)
	t.VersionInformation(next(), []wire.Version{wire.Version1}, []wire.Version{0x1a2a3a4a}, 0)
	t.ConnectionStateUpdated(next(), "", "attempted")
	t.PacketReceived(next(), wire.Initial, 0, 1200, 2, wire.AppendPadding(wire.AppendCrypto(nil, wire.CryptoFrame{Data: make([]byte, 300)}), 800))
	t.ALPNInformation(next(), "h3")
	t.ALPNInformation(next(), "\xff")
	ours := parameters(tb)
	theirs := wire.DefaultTransportParameters()
	theirs.AckDelayExponent = 0
	t.ParametersSet(next(), true, &ours)
	t.ParametersSet(next(), false, &theirs)
	t.ParametersRestored(next(), &ours)
	t.RecoveryParametersSet(next(), RecoveryParameters{
		ReorderingThreshold: 3, TimerGranularity: ms, InitialRTT: 333 * ms, MaxDatagramSize: 1200,
		InitialCongestionWindow: 12000, MinimumCongestionWindow: 2400, PersistentCongestionThreshold: 3,
	})
	t.KeyUpdated(next(), "server_handshake_secret", 0, "tls")
	t.PacketSent(next(), wire.VersionNegotiation, 0, 50, 0, []byte{0, 0, 0, 1, 0x6b, 0x33, 0x43, 0xcf, 9})
	t.PacketSent(next(), wire.Retry, 0, 100, 0, []byte("a token"))
	t.PacketReceived(next(), wire.Retry, 0, 100, 0, nil)
	t.PacketReceived(next(), wire.UnknownVersion, 0, 1300, 0, nil)
	t.PacketSent(next(), wire.Handshake, 1<<53, 400, 1, []byte{2, 0, 1, 0, 0})
	t.PacketBuffered(next(), wire.ZeroRTT, 700, "keys_unavailable")
	t.PacketBuffered(next(), wire.ZeroRTT, 700, "some reason")
	t.PacketReceived(next(), wire.ZeroRTT, 3, 700, 3, []byte{1})
	t.KeyUpdated(next(), "client_1rtt_secret", 2, "local_update")
	for _, keys := range []string{"server_initial_secret", "initial", "handshake", "0rtt"} {
		t.KeyDiscarded(next(), keys)
	}
	t.KeyUpdated(next(), "1rtt", 3, "because")
	t.ConnectionStateUpdated(next(), "attempted", "handshake_complete")
	t.RegisterFrame(0x45, "mp_ack", func(b []byte) int { return 4 })
	t.PacketSent(next(), wire.OneRTT, 4, 1500, 0, everyFrame(tb))
	t.OnPath(3).PacketReceived(next(), wire.OneRTT, 5, 1500, 0, everyFrame(tb))
	t.PacketsAcked(next(), wire.OneRTT, []uint64{4, 5, 1 << 60})
	t.PacketDropped(next(), 40, "decryption_failure")
	for _, reason := range []string{"malformed", "key_discarded", "unsupported_version", "unexpected_address", "unknown_connection_id", "out of luck", ""} {
		t.PacketDropped(next(), 40, reason)
	}
	t.DatagramDropped(next(), 1)
	rtt := recovery.RTT{LatestRTT: 20 * ms, SmoothedRTT: 25*ms + 1, RTTVar: 5 * ms, MinRTT: 19 * ms, Samples: 1}
	cc := congestion.View{CongestionWindow: 12000, BytesInFlight: 1200, Ssthresh: congestion.Infinite}
	t.MetricsUpdated(next(), 0, &rtt, &cc, 0)
	cc.BytesInFlight, cc.Ssthresh, cc.PacingRate = 0, 6000, 125_000
	t.MetricsUpdated(next(), 0, &rtt, &cc, 1<<20)
	t.MetricsUpdated(next(), 9, &rtt, &cc, 1)
	t.PathDropped(9)
	t.CongestionStateUpdated(next(), "slow_start", "recovery")
	t.LossTimerUpdated(next(), "set", "pto", "application_data", 75*ms)
	t.LossTimerUpdated(next(), "expired", "ack", "Initial", 0)
	t.LossTimerUpdated(next(), "expired", "ack", "Handshake", 0)
	t.LossTimerUpdated(next(), "expired", "pto", "Application Data", 0)
	t.LossTimerUpdated(next(), "cancelled", "idle_timeout", "", 0)
	t.PacketLost(next(), wire.OneRTT, 4, "time_threshold")
	t.PacketLost(next(), wire.Initial, 4, "superseded by Retry")
	t.ECNStateUpdated(next(), "off", "testing")
	t.ECNStateUpdated(next(), "testing", "off")
	t.ECNStateUpdated(next(), "testing", "capable")
	t.MTUUpdated(next(), 1200, 1452, true)
	t.SpinBitUpdated(next(), true)
	t.ConnectionIDUpdated(next(), false, dst, src)
	t.TupleAssigned(next(), "3", local, remote)
	t.TupleAssigned(next(), "3", netip.AddrPort{}, netip.AddrPort{})
	t.OnPath(3).MigrationStateUpdated(next(), "probing_started", "probing_successful")
	t.StreamStateUpdated(next(), 3, "sending", "open", "data_sent")
	t.ConnectionDataBlockedUpdated(next(), true, "congestion_control")
	t.StreamDataBlockedUpdated(next(), 3, false, "")
	t.Plugin(next(), "org.pquic.multipath", "fault", map[string]any{
		"Operation": "update_rtt", "instruction": uint64(17), "error": errors.New("out of \x1e fuel"), "plugin": "again", "b": []byte{1, 2},
	})
	t.Generic(next(), "loglevel", "info", "message", "hello\u2028\x00\xff ✓")
	t.Generic(next(), "demo", "nan", "Code", math.NaN(), "code", 2)
	t.Generic(next(), "demo", "values", "i", -1, "big", int64(math.MinInt64), "u", uint32(7), "f", 1.5, "t", start.Add(2*ms), "d", 3*ms,
		"id", src, "list", []any{true, nil, "x", []int{1, -2}, []string{}, map[string]any{"k": []uint64{1 << 63}}}, "odd")
	t.ConnectionClosed(next(), true, false, 0, "")
	t.ConnectionClosed(next(), false, false, 0x178, "no application protocol")
	t.ConnectionClosed(next(), false, true, 0x100, "bye")
	t.ConnectionLost(next(), true, "idle_timeout", "")
	t.ConnectionLost(next(), false, "lost interest", "why not")
	t.Close(next())
}

func parameters(t testing.TB) wire.TransportParameters {
	tp := wire.DefaultTransportParameters()
	tp.InitialMaxData = wire.MaxVarint
	tp.MaxIdleTimeout = 30*time.Second + 1
	tp.MaxAckDelay = 25 * ms
	tp.DisableActiveMigration, tp.GreaseQUICBit, tp.ResetStreamAt = true, true, true
	tp.HasMinAckDelay, tp.MinAckDelay = true, ms/2
	tp.HasInitialSourceConnectionID, tp.InitialSourceConnectionID = true, connID(t, 1, 2, 3, 4)
	tp.HasOriginalDestinationConnectionID, tp.OriginalDestinationConnectionID = true, connID(t, 5)
	tp.HasRetrySourceConnectionID, tp.RetrySourceConnectionID = true, connID(t, 6)
	tp.HasStatelessResetToken, tp.StatelessResetToken = true, [16]byte{0xee, 0xee}
	tp.HasVersionInformation = true
	tp.VersionInformation = wire.VersionInformation{Chosen: wire.Version2, Available: []wire.Version{wire.Version2, wire.Version1}}
	tp.HasPreferredAddress = true
	tp.PreferredAddress = wire.PreferredAddress{
		IPv4: netip.MustParseAddrPort("198.51.100.7:443"), IPv6: netip.MustParseAddrPort("[2001:db8::7]:8443"),
		ConnID: connID(t, 7, 7), ResetToken: [16]byte{0xee, 0xee},
	}
	tp.Unknown = []wire.RawParameter{{ID: 0x20, Value: []byte{0x80, 0, 0xff, 0xff}}, {ID: 1 << 61, Value: nil}}
	return tp
}

func TestEveryEvent(t *testing.T) {
	s := loadSchema(t)
	for dialect, golden := range map[Dialect]string{
		Drafts: "testdata/every_event.sqlog",
		Qvis:   "testdata/every_event_qvis.sqlog",
	} {
		var out bytes.Buffer
		trace := newTrace(t, &out, dialect)
		everyEvent(t, trace)
		if err := trace.Err(); err != nil {
			t.Fatal(err)
		}
		got := records(t, out.Bytes())
		if dialect == Drafts {
			s.checkRecords(t, got)
		}
		names := map[string]bool{}
		for _, r := range got[1:] {
			names[r.(map[string]any)["name"].(string)] = true
		}
		for ev := range eventNames {
			if !names[eventNames[ev][dialect]] {
				t.Errorf("no event %s", eventNames[ev][dialect])
			}
		}
		if bytes.Contains(out.Bytes(), []byte("eeee")) {
			t.Error("a stateless reset token was logged")
		}
		compareGolden(t, golden, out.Bytes())
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s, record %d (-update accepts it):\n got %s\nwant %s", name, i, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%s has %d records, want %d", name, len(g), len(w))
	}
}

// TestSchemaRefuses makes sure that the schema test can fail.
func TestSchemaRefuses(t *testing.T) {
	s := loadSchema(t)
	for _, bad := range []string{
		`{"name":"quic:spin_bit_updated","data":{"state":true}}`,
		`{"time":"1","name":"quic:spin_bit_updated","data":{"state":true}}`,
		`{"time":1,"name":"quic:spin_bit_updated","data":{}}`,
		`{"time":1,"name":"quic:spin_bit_updated","data":{"state":1}}`,
		`{"time":1,"name":"quic:spin_bit_updated","data":{"state":true,"more":1}}`,
		`{"time":1,"name":"quic:spin_bit","data":{}}`,
		`{"time":1,"name":"spin_bit","data":{}}`,
		`{"time":1,"name":"quic:mtu_updated","data":{"new":4294967296}}`,
		`{"time":1,"name":"quic:mtu_updated","data":{"new":1.5}}`,
		`{"time":1,"name":"quic:packets_acked","data":{"packet_numbers":[]}}`,
		`{"time":1,"name":"quic:packets_acked","data":{"packet_numbers":[9007199254740992]}}`,
		`{"time":1,"name":"quic:recovery_metrics_updated","data":{}}`,
		`{"time":1,"name":"quic:packet_sent","data":{"header":{"packet_type":"retry","packet_number":1}}}`,
		`{"time":1,"name":"quic:packet_sent","data":{"header":{"packet_type":"1RTT"},"frames":[{"frame_type":"crypto","offset":1}]}}`,
		`{"time":1,"name":"quic:packet_sent","data":{"header":{"packet_type":"1RTT"},"frames":[{"frame_type":"ack","acked_ranges":[[1,2,3]]}]}}`,
		`{"time":1,"name":"quic:connection_id_updated","data":{"initiator":"local","new":"ABCD"}}`,
	} {
		v, err := decodeJSON([]byte(bad))
		if err != nil {
			t.Fatal(err)
		}
		if s.validate(s.defs["event"], v, "event") == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}

// TestOff: a trace that is nil, zero, closed or broken takes all calls.
func TestOff(t *testing.T) {
	if New(nil, Info{}) != nil {
		t.Error("a trace without a writer")
	}
	everyEvent(t, nil)
	everyEvent(t, new(Trace))

	var out closer
	trace := New(&out, Info{})
	trace.Close(start)
	n := out.Len()
	everyEvent(t, trace)
	if out.Len() != n || out.closed != 1 || trace.Err() != nil {
		t.Errorf("after Close: %d bytes more, closed %d times, error %v", out.Len()-n, out.closed, trace.Err())
	}

	broken := errors.New("disk full")
	w := &failing{left: 3, err: broken}
	trace = New(w, Info{})
	everyEvent(t, trace)
	if trace.Err() != broken || w.calls != 4 {
		t.Errorf("failing writer: error %v after %d writes", trace.Err(), w.calls)
	}
	if trace = New(&failing{err: broken}, Info{}); trace.Err() != broken {
		t.Error("the failure to write the header is lost")
	}
}

type closer struct {
	bytes.Buffer
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

type failing struct {
	left, calls int
	err         error
}

func (f *failing) Write(b []byte) (int, error) {
	f.calls++
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return len(b), nil
}

// TestOneWritePerRecord: the records of a shared writer cannot interleave.
func TestOneWritePerRecord(t *testing.T) {
	w := &recordWriter{t: t}
	everyEvent(t, New(w, Info{}))
}

type recordWriter struct{ t *testing.T }

func (w *recordWriter) Write(b []byte) (int, error) {
	if len(records(w.t, b)) != 1 {
		w.t.Errorf("written at once: %q", b)
	}
	return len(b), nil
}
