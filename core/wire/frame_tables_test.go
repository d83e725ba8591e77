package wire

import (
	"testing"
	"time"
)

func TestPaddingFrame(t *testing.T) {
	(&frameTest[PaddingFrame]{
		parse:  ParsePadding,
		append: func(b []byte, f PaddingFrame) []byte { return AppendPadding(b, f.Length) },
		length: PaddingFrame.Len,
		good:   []goodFrame[PaddingFrame]{{"00", PaddingFrame{1}}, {"000000", PaddingFrame{3}}},
		bad:    []badFrame{{"another type", "01"}, {"empty", ""}},
		greedy: true,
	}).run(t)
	if f, n := ParsePadding([]byte{0, 0, 1, 0}); f.Length != 2 || n != 2 {
		t.Errorf("ended the run after %d", n)
	}
	for _, n := range []int{0, 1, 255, 256, 257, 1200, 70000} {
		if b := AppendPadding(nil, n); len(b) != n {
			t.Errorf("AppendPadding(%d) appended %d", n, len(b))
		}
	}
}

func TestFramesWithoutFields(t *testing.T) {
	(&frameTest[PingFrame]{
		parse:  ParsePing,
		append: func(b []byte, _ PingFrame) []byte { return AppendPing(b) },
		length: PingFrame.Len,
		good:   []goodFrame[PingFrame]{{"01", PingFrame{}}},
		bad:    []badFrame{{"two bytes for the type", "4001"}},
	}).run(t)
	(&frameTest[HandshakeDoneFrame]{
		parse:  ParseHandshakeDone,
		append: func(b []byte, _ HandshakeDoneFrame) []byte { return AppendHandshakeDone(b) },
		length: HandshakeDoneFrame.Len,
		good:   []goodFrame[HandshakeDoneFrame]{{"1e", HandshakeDoneFrame{}}},
		bad:    []badFrame{{"two bytes for the type", "401e"}},
	}).run(t)
	(&frameTest[ImmediateAckFrame]{
		parse:  ParseImmediateAck,
		append: func(b []byte, _ ImmediateAckFrame) []byte { return AppendImmediateAck(b) },
		length: ImmediateAckFrame.Len,
		good:   []goodFrame[ImmediateAckFrame]{{"1f", ImmediateAckFrame{}}},
		bad:    []badFrame{{"two bytes for the type", "401f"}},
	}).run(t)
}

func TestResetStreamFrame(t *testing.T) {
	(&frameTest[ResetStreamFrame]{
		parse: ParseResetStream, append: AppendResetStream, length: ResetStreamFrame.Len,
		good: []goodFrame[ResetStreamFrame]{
			{"04 00 00 00", ResetStreamFrame{}},
			{"04 04 4100 80010000", ResetStreamFrame{ID: 4, ErrorCode: 256, FinalSize: 65536}},
			{"04 ffffffffffffffff ffffffffffffffff ffffffffffffffff", ResetStreamFrame{MaxVarint, MaxVarint, MaxVarint}},
		},
		bad: []badFrame{{"no final size", "04 04 01"}, {"final size cut", "04 04 01 c0000000000000"}},
	}).run(t)
}

func TestResetStreamAtFrame(t *testing.T) {
	(&frameTest[ResetStreamAtFrame]{
		parse: ParseResetStreamAt, append: AppendResetStreamAt, length: ResetStreamAtFrame.Len,
		good: []goodFrame[ResetStreamAtFrame]{
			{"24 00 00 00 00", ResetStreamAtFrame{}},
			{"24 04 4100 80010000 4400", ResetStreamAtFrame{ID: 4, ErrorCode: 256, FinalSize: 65536, ReliableSize: 1024}},
			{"24 00 07 0a 0a", ResetStreamAtFrame{ErrorCode: 7, FinalSize: 10, ReliableSize: 10}},
		},
		bad: []badFrame{
			{"reliable size beyond the final size", "24 00 07 0a 0b"},
			{"reliable size of 2^62-1", "24 00 07 0a ffffffffffffffff"},
			{"no reliable size", "24 00 07 0a"},
		},
	}).run(t)
}

func TestStopSendingFrame(t *testing.T) {
	(&frameTest[StopSendingFrame]{
		parse: ParseStopSending, append: AppendStopSending, length: StopSendingFrame.Len,
		good: []goodFrame[StopSendingFrame]{
			{"05 04 4100", StopSendingFrame{ID: 4, ErrorCode: 256}},
			{"05 ffffffffffffffff 00", StopSendingFrame{ID: MaxVarint}},
		},
		bad: []badFrame{{"no error code", "05 04"}},
	}).run(t)
}

func TestCryptoFrame(t *testing.T) {
	(&frameTest[CryptoFrame]{
		parse: ParseCrypto, append: AppendCrypto, length: CryptoFrame.Len,
		good: []goodFrame[CryptoFrame]{
			{"06 00 00", CryptoFrame{Data: []byte{}}},
			{"06 4100 03 616263", CryptoFrame{Offset: 256, Data: []byte("abc")}},
			{"06 fffffffffffffffe 01 ff", CryptoFrame{Offset: MaxVarint - 1, Data: []byte{0xff}}},
		},
		bad: []badFrame{
			{"data ends early", "06 00 04 616263"},
			{"length of 2^62-1", "06 00 ffffffffffffffff 616263"},
			{"data ends beyond 2^62-1", "06 ffffffffffffffff 01 ff"},
		},
	}).run(t)
}

func TestNewTokenFrame(t *testing.T) {
	(&frameTest[NewTokenFrame]{
		parse: ParseNewToken, append: AppendNewToken, length: NewTokenFrame.Len,
		good: []goodFrame[NewTokenFrame]{{"07 03 616263", NewTokenFrame{Token: []byte("abc")}}},
		bad: []badFrame{
			{"empty token", "07 00"},
			{"empty token, two-byte length", "07 4000"},
			{"token ends early", "07 04 616263"},
		},
	}).run(t)
}

func TestFlowControlFrames(t *testing.T) {
	(&frameTest[MaxDataFrame]{
		parse: ParseMaxData, append: AppendMaxData, length: MaxDataFrame.Len,
		good: []goodFrame[MaxDataFrame]{
			{"10 00", MaxDataFrame{}}, {"10 ffffffffffffffff", MaxDataFrame{MaxVarint}},
		},
	}).run(t)
	(&frameTest[MaxStreamDataFrame]{
		parse: ParseMaxStreamData, append: AppendMaxStreamData, length: MaxStreamDataFrame.Len,
		good: []goodFrame[MaxStreamDataFrame]{
			{"11 04 4100", MaxStreamDataFrame{ID: 4, Max: 256}},
		},
	}).run(t)
	(&frameTest[DataBlockedFrame]{
		parse: ParseDataBlocked, append: AppendDataBlocked, length: DataBlockedFrame.Len,
		good: []goodFrame[DataBlockedFrame]{{"14 4100", DataBlockedFrame{256}}},
	}).run(t)
	(&frameTest[StreamDataBlockedFrame]{
		parse: ParseStreamDataBlocked, append: AppendStreamDataBlocked, length: StreamDataBlockedFrame.Len,
		good: []goodFrame[StreamDataBlockedFrame]{
			{"15 04 4100", StreamDataBlockedFrame{ID: 4, Limit: 256}},
		},
	}).run(t)
}

func TestStreamCountFrames(t *testing.T) {
	const max = "d000000000000000" // 2^60
	(&frameTest[MaxStreamsFrame]{
		parse: ParseMaxStreams, append: AppendMaxStreams, length: MaxStreamsFrame.Len,
		good: []goodFrame[MaxStreamsFrame]{
			{"12 4064", MaxStreamsFrame{Max: 100}},
			{"13 00", MaxStreamsFrame{Uni: true}},
			{"12" + max, MaxStreamsFrame{Max: MaxStreamCount}},
		},
		bad: []badFrame{
			{"beyond 2^60, bidirectional", "12 d000000000000001"},
			{"beyond 2^60, unidirectional", "13 ffffffffffffffff"},
		},
	}).run(t)
	(&frameTest[StreamsBlockedFrame]{
		parse: ParseStreamsBlocked, append: AppendStreamsBlocked, length: StreamsBlockedFrame.Len,
		good: []goodFrame[StreamsBlockedFrame]{
			{"16 4064", StreamsBlockedFrame{Limit: 100}},
			{"17 00", StreamsBlockedFrame{Uni: true}},
			{"17" + max, StreamsBlockedFrame{Limit: MaxStreamCount, Uni: true}},
		},
		bad: []badFrame{
			{"beyond 2^60, bidirectional", "16 d000000000000001"},
			{"beyond 2^60, unidirectional", "17 ffffffffffffffff"},
		},
	}).run(t)
}

func TestConnectionIDFrames(t *testing.T) {
	const token = "000102030405060708090a0b0c0d0e0f"
	const id20 = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3"
	reset := [ResetTokenLen]byte(unhex(t, token))
	(&frameTest[NewConnectionIDFrame]{
		parse: ParseNewConnectionID, append: AppendNewConnectionID, length: NewConnectionIDFrame.Len,
		good: []goodFrame[NewConnectionIDFrame]{
			{"18 4100 02 04 deadbeef" + token, NewConnectionIDFrame{256, 2, mustConnID(t, "deadbeef"), reset}},
			{"18 05 05 01 aa" + token, NewConnectionIDFrame{5, 5, mustConnID(t, "aa"), reset}},
			{"18 00 00 14" + id20 + token, NewConnectionIDFrame{0, 0, mustConnID(t, id20), reset}},
		},
		bad: []badFrame{
			{"retires beyond its own number", "18 05 06 01 aa" + token},
			{"zero-length connection ID", "18 05 00 00" + token},
			{"connection ID of 21 bytes", "18 05 00 15 ff" + id20 + token},
			{"connection ID of 255 bytes", "18 05 00 ff" + id20 + token},
			{"token cut", "18 05 00 01 aa" + token[:30]},
		},
	}).run(t)
	(&frameTest[RetireConnectionIDFrame]{
		parse: ParseRetireConnectionID, append: AppendRetireConnectionID, length: RetireConnectionIDFrame.Len,
		good: []goodFrame[RetireConnectionIDFrame]{{"19 4100", RetireConnectionIDFrame{256}}},
	}).run(t)
}

func TestPathFrames(t *testing.T) {
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	(&frameTest[PathChallengeFrame]{
		parse: ParsePathChallenge, append: AppendPathChallenge, length: PathChallengeFrame.Len,
		good: []goodFrame[PathChallengeFrame]{{"1a 0102030405060708", PathChallengeFrame{data}}},
		bad:  []badFrame{{"seven bytes", "1a 01020304050607"}},
	}).run(t)
	(&frameTest[PathResponseFrame]{
		parse: ParsePathResponse, append: AppendPathResponse, length: PathResponseFrame.Len,
		good: []goodFrame[PathResponseFrame]{{"1b 0102030405060708", PathResponseFrame{data}}},
		bad:  []badFrame{{"seven bytes", "1b 01020304050607"}},
	}).run(t)
}

func TestConnectionCloseFrame(t *testing.T) {
	(&frameTest[ConnectionCloseFrame]{
		parse: ParseConnectionClose, append: AppendConnectionClose, length: ConnectionCloseFrame.Len,
		good: []goodFrame[ConnectionCloseFrame]{
			{"1c 07 06 03 616263", ConnectionCloseFrame{ErrorCode: 7, FrameType: Crypto, Reason: []byte("abc")}},
			{"1c 00 00 00", ConnectionCloseFrame{Reason: []byte{}}},
			{"1c 4178 40af 00", ConnectionCloseFrame{ErrorCode: 0x178, FrameType: AckFrequency, Reason: []byte{}}},
			{"1d 4100 02 fffe", ConnectionCloseFrame{Application: true, ErrorCode: 256, Reason: []byte{0xff, 0xfe}}},
		},
		bad: []badFrame{
			{"reason ends early", "1c 07 06 04 616263"},
			{"reason of 2^62-1 bytes", "1d 07 ffffffffffffffff 616263"},
			{"no reason length", "1c 07 06"},
			{"application close without reason length", "1d 07"},
		},
	}).run(t)
}

func TestAckFrequencyFrame(t *testing.T) {
	(&frameTest[AckFrequencyFrame]{
		parse: ParseAckFrequency, append: AppendAckFrequency, length: AckFrequencyFrame.Len,
		good: []goodFrame[AckFrequencyFrame]{
			{"40af 00 00 00 00", AckFrequencyFrame{}},
			{"40af 02 0a 800061a8 03", AckFrequencyFrame{2, 10, 25000, 3}},
		},
		bad: []badFrame{
			{"type in one byte", "af 02 0a 800061a8 03"},
			{"type in four bytes", "800000af 02 0a 800061a8 03"},
			{"another two-byte type", "40b0 02 0a 800061a8 03"},
			{"no reordering threshold", "40af 02 0a 800061a8"},
		},
	}).run(t)
	for _, tt := range []struct {
		micros uint64
		want   time.Duration
		ok     bool
	}{
		{0, 0, true}, {1500, 1500 * time.Microsecond, true}, {16383999, 16383999 * time.Microsecond, true},
		{16384000, 0, false}, {MaxVarint, 0, false},
	} {
		got, ok := AckFrequencyFrame{RequestedMaxAckDelay: tt.micros}.MaxAckDelay()
		if got != tt.want || ok != tt.ok {
			t.Errorf("MaxAckDelay of %d µs = %v, %v; want %v, %v", tt.micros, got, ok, tt.want, tt.ok)
		}
	}
}
