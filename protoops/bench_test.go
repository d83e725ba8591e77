package protoops

import (
	"testing"
	"time"
)

var (
	sample   = rttSample{Latest: 10 * time.Millisecond, AckDelay: time.Millisecond}
	sinkRTT  rttEstimate
	sinkPing pingFrame
	sinkN    int
)

func BenchmarkDirect(b *testing.B) {
	c := new(testConn)
	b.ReportAllocs()
	for b.Loop() {
		sinkRTT = c.updateRTTNative(sample)
	}
}

func BenchmarkShimUnattached(b *testing.B) {
	c := new(testConn)
	b.ReportAllocs()
	for b.Loop() {
		sinkRTT = c.updateRTT(sample)
	}
}

func benchmarkRTT(b *testing.B, bindings ...Binding) {
	s := newScript(b)
	s.log = nil
	s.attach("bench", bindings...)
	b.ReportAllocs()
	c := s.testConn
	for b.Loop() {
		sinkRTT = c.updateRTT(sample)
	}
}

func BenchmarkReplaced(b *testing.B) {
	s, buf := newScript(b), []byte{1, 5}
	s.attach("bench", at(Replace, keyParsePing, quiet))
	b.ReportAllocs()
	for b.Loop() {
		sinkPing, sinkN = s.parsePing(buf)
	}
}

func BenchmarkReplacedWords(b *testing.B) {
	benchmarkRTT(b, at(Replace, keyUpdateRTT, func(c *Call) error {
		if err := c.SetResult(0, c.Arg(0)-c.Arg(1)); err != nil {
			return err
		}
		return c.SetResult(1, c.Arg(2))
	}))
}

func BenchmarkReplacedTyped(b *testing.B) {
	benchmarkRTT(b, at(Replace, keyUpdateRTT, func(c *Call) error {
		ResultOf[rttEstimate](c).Smoothed = ArgsOf[rttSample](c).Latest
		return nil
	}))
}

func BenchmarkPre(b *testing.B) { benchmarkRTT(b, at(Pre, keyUpdateRTT, quiet)) }

func quietAt(a Anchor, k Key) Binding { return trust(a, k, quiet) }

func BenchmarkPreTrusted(b *testing.B) { benchmarkRTT(b, quietAt(Pre, keyUpdateRTT)) }

func BenchmarkPrePostTrusted(b *testing.B) {
	benchmarkRTT(b, quietAt(Pre, keyUpdateRTT), quietAt(Post, keyUpdateRTT))
}

func BenchmarkPostEightTrusted(b *testing.B) {
	bindings := make([]Binding, 8)
	for i := range bindings {
		bindings[i] = quietAt(Post, keyUpdateRTT)
	}
	benchmarkRTT(b, bindings...)
}

func benchmarkEvent(b *testing.B, bindings ...Binding) {
	s := newScript(b)
	s.log = nil
	s.attach("bench", bindings...)
	b.ReportAllocs()
	for b.Loop() {
		s.streamOpened(1)
	}
}

func BenchmarkEventUnattached(b *testing.B) {
	s := newScript(b)
	b.ReportAllocs()
	for b.Loop() {
		s.streamOpened(1)
	}
}

func BenchmarkEventPost(b *testing.B)        { benchmarkEvent(b, at(Post, keyOpened, quiet)) }
func BenchmarkEventPostTrusted(b *testing.B) { benchmarkEvent(b, quietAt(Post, keyOpened)) }

func BenchmarkPreTimed(b *testing.B) {
	s := newScript(b)
	s.log = nil
	start := time.Now()
	s.table.Clock = func() int64 { return int64(time.Since(start)) }
	s.attach("bench", at(Pre, keyUpdateRTT, quiet))
	b.ReportAllocs()
	for b.Loop() {
		sinkRTT = s.updateRTT(sample)
	}
}

func BenchmarkFrameDirect(b *testing.B) {
	c, buf := new(testConn), []byte{1, 5}
	b.ReportAllocs()
	for b.Loop() {
		sinkN = c.parsePingNative(frameBytes{buf}).N
	}
}

func BenchmarkFrameShim(b *testing.B) {
	c, buf := new(testConn), []byte{1, 5}
	b.ReportAllocs()
	for b.Loop() {
		sinkPing, sinkN = c.parsePing(buf)
	}
}

func BenchmarkFrameReplaced(b *testing.B) {
	s, buf := newScript(b), []byte{1, 5}
	s.attach("bench", at(Replace, keyParsePing, func(c *Call) error { return c.SetResult(1, uint64(len(c.ArgBytes(0)))) }))
	b.ReportAllocs()
	for b.Loop() {
		sinkPing, sinkN = s.parsePing(buf)
	}
}

func BenchmarkDeclared(b *testing.B) {
	s := newScript(b)
	k := Plain("helper")
	s.attach("bench", declare(k, func(c *Call) error { return c.SetResult(0, c.Arg(0)+c.Arg(1)) }))
	args := []uint64{1, 2}
	b.ReportAllocs()
	for b.Loop() {
		r, _ := CallExtern(&s.table, s.testConn, k, args)
		sinkN = int(r[0])
	}
}

func BenchmarkJournaledWrite(b *testing.B) {
	benchmarkField(b, func(c *Call, s *script) error { return c.Write64(&s.state.Window, 5000) })
}

func BenchmarkFieldSet(b *testing.B) {
	window, _ := testFields.ID("window")
	benchmarkField(b, func(c *Call, s *script) error { return testFields.Set(c, &s.state, window, 5000) })
}

func benchmarkField(b *testing.B, f func(*Call, *script) error) {
	s := newScript(b)
	s.log = nil
	s.attach("bench", at(Replace, keyParsePing, func(c *Call) error { return f(c, s) }))
	buf := []byte{1, 5}
	b.ReportAllocs()
	for b.Loop() {
		sinkPing, sinkN = s.parsePing(buf)
	}
}
