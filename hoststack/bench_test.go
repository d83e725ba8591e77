package hoststack

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"
)

// BenchmarkDownload moves 1 MiB per iteration from server to client over one
// stream: with -benchtime 1000x, a gigabyte.
func BenchmarkDownload(b *testing.B) {
	for _, v := range []struct {
		name    string
		maxSize uint16
	}{{"1452", 1452}, {"jumbo", 0}} {
		b.Run(v.name, func(b *testing.B) {
			server, client := serverConfig(), clientConfig()
			server.Core.MaxUDPPayload, client.Core.MaxUDPPayload = v.maxSize, v.maxSize
			s, c := pair(b, server, client)
			const unit = 1 << 20
			ss, cs := streams(b, s, c)
			chunk := make([]byte, 256<<10)
			// Warm up: windows, MTU discovery, FIFOs.
			go ss.Write(make([]byte, 32*unit))
			if _, err := io.CopyN(io.Discard, cs, 32*unit); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(unit)
			b.ReportAllocs()
			before := c.Stats()
			cpu := cpuTime()
			b.ResetTimer()
			go func() {
				for left := b.N * unit; left > 0; left -= len(chunk) {
					if _, err := ss.Write(chunk); err != nil {
						return
					}
				}
				ss.CloseWrite()
			}()
			buf := make([]byte, 256<<10)
			total := 0
			for {
				n, err := cs.Read(buf)
				total += n
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if total != b.N*unit {
				b.Fatalf("%d bytes, want %d", total, b.N*unit)
			}
			after := c.Stats()
			b.ReportMetric((cpuTime()-cpu).Seconds()/(float64(total)/1e9), "cpu-s/GB")
			b.ReportMetric(float64(total)*8/b.Elapsed().Seconds()/1e6, "Mbps")
			b.ReportMetric(float64(after.PacketsReceived-before.PacketsReceived)/float64(b.N), "packets/op")
			lost := s.Stats().PacketsLost
			b.ReportMetric(float64(lost), "lost")
		})
	}
}

// BenchmarkPing is a byte there and back on one stream.
func BenchmarkPing(b *testing.B) {
	for _, think := range []time.Duration{0, time.Millisecond} {
		b.Run(fmt.Sprintf("think=%v", think), func(b *testing.B) {
			s, c := pair(b, serverConfig(), clientConfig())
			ss, cs := streams(b, s, c)
			go io.Copy(ss, ss)
			one := make([]byte, 1)
			times := make([]time.Duration, 0, b.N)
			tick := time.NewTicker(max(think, time.Millisecond))
			defer tick.Stop()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if think > 0 {
					<-tick.C
				}
				start := time.Now()
				if _, err := cs.Write(one); err != nil {
					b.Fatal(err)
				}
				if _, err := cs.Read(one); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			b.StopTimer()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2])/1e3, "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100])/1e3, "p99-µs")
		})
	}
}

// BenchmarkHandshake is a connection made and closed.
func BenchmarkHandshake(b *testing.B) {
	l := listen(b, serverConfig(), func(*Conn) {})
	for range b.N {
		c, err := Dial(testContext(b), "udp", l.Addr().String(), clientConfig())
		if err != nil {
			b.Fatal(err)
		}
		c.CloseWithError(0, "")
	}
}

// BenchmarkRequest is a stream with a small question and answer.
func BenchmarkRequest(b *testing.B) {
	l := listen(b, serverConfig(), echo)
	c := dial(b, l, clientConfig())
	data := randomBytes(100)
	b.ReportAllocs()
	for range b.N {
		s, err := c.OpenStream(testContext(b))
		if err != nil {
			b.Fatal(err)
		}
		s.Write(data)
		s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || len(got) != len(data) {
			b.Fatalf("%d bytes, %v", len(got), err)
		}
	}
}
