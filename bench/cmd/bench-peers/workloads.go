package main

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/pquic-go/pquic/bench/linkemu"
)

// A workload is what both implementations do in turn.
type workload struct {
	name, title string
	maxDatagram int
	link        *linkemu.LinkConfig // nil: loopback
	args        func(scale float64) []string
	metrics     []metric
}

// A metric is a number taken from a sample and what it must reach: in relation to the other
// implementation, or by itself.
type metric struct {
	name, unit string
	value      func(*sample) float64
	higher     bool // more is better
	must       bound
	dream      bound
}

// A bound is what a metric must reach, or had better.
type bound struct {
	ratio    float64 // of ours / theirs; 0: none
	absolute float64 // of ours; negative: none
}

const none = -1

var nowhere = bound{0, none}

func ratio(r float64) bound { return bound{r, none} }

// scaled returns n times scale, at least least.
func scaled(n, scale, least float64) string {
	return fmt.Sprint(uint64(math.Max(n*scale, least)))
}

func download(bytes float64, streams int) func(float64) []string {
	return func(scale float64) []string {
		return []string{"-workload=download", "-bytes=" + scaled(bytes, scale, 1e5), fmt.Sprint("-streams=", streams)}
	}
}

func counted(workload string, n float64, more ...string) func(float64) []string {
	return func(scale float64) []string {
		return append([]string{"-workload=" + workload, "-count=" + scaled(n, scale, 20)}, more...)
	}
}

func goodput(must, dream float64) metric {
	return metric{"goodput", "Mbps", func(s *sample) float64 {
		return float64(s.Client.Bytes) * 8 / 1e6 / s.Client.Seconds
	}, true, ratio(must), ratio(dream)}
}

// cpuSeconds is the processor time of both ends.
func cpuSeconds(s *sample) float64 {
	return s.Client.CPUSeconds + s.After.CPUAtCommand - s.Before.CPUSeconds
}

func cpuPerGB(must, dream float64) metric {
	return metric{"CPU, both ends", "s/GB", func(s *sample) float64 {
		return cpuSeconds(s) / (float64(s.Client.Bytes) / 1e9)
	}, false, ratio(must), ratio(dream)}
}

func allocations(end string, value func(*sample) float64) metric {
	return metric{"allocations per packet, " + end, "", value, false, bound{0, 0.02}, bound{0, 0.001}}
}

func latency(name string, must, dream float64, value func(*sample) float64) metric {
	return metric{name, "µs", value, false, ratio(must), ratio(dream)}
}

var (
	p50 = func(s *sample) float64 { return s.Client.LatencyUS.P50 }
	p99 = func(s *sample) float64 { return s.Client.LatencyUS.P99 }
)

func handshakeRate(must, dream float64) metric {
	return metric{"handshakes", "/s", func(s *sample) float64 {
		return float64(s.Client.Handshakes) / s.Client.Seconds
	}, true, ratio(must), ratio(dream)}
}

// cpuPerHandshake says what a loaded machine hides: what a handshake costs.
func cpuPerHandshake() metric {
	return metric{"CPU, both ends", "ms each", func(s *sample) float64 {
		return cpuSeconds(s) * 1e3 / float64(s.Client.Handshakes)
	}, false, nowhere, nowhere}
}

func perConn(name, unit string, must, dream bound, value func(*sample) float64) metric {
	return metric{name, unit, func(s *sample) float64 { return value(s) / float64(s.Client.Conns) }, false, must, dream}
}

// goodputMbps is the link of the interoperability runner: 10 Mbps, 15 ms, 25 packets of queue.
func runnerLink(change func(*linkemu.Shape)) *linkemu.LinkConfig {
	s := linkemu.Shape{Rate: 10e6, Delay: 15 * time.Millisecond, QueuePackets: 25}
	if change != nil {
		change(&s)
	}
	return &linkemu.LinkConfig{AToB: s, BToA: s}
}

// workloads is the table of what is measured. Full-size Ethernet allows 1452 bytes of UDP payload
// over IPv6; that size is fixed where datagrams must be equal.
var workloads = []workload{
	{
		name: "bulk", title: "1 GB down, 1 stream, datagrams ≤ 1452 B", maxDatagram: 1452, args: download(1e9, 1),
		metrics: []metric{
			goodput(2.0, 3.5), cpuPerGB(0.55, 0.32),
			allocations("server", func(s *sample) float64 {
				return float64(s.After.Steady.Mallocs) / float64(s.After.Steady.Packets)
			}),
			allocations("client", func(s *sample) float64 {
				return float64(s.Client.Steady.Mallocs) / float64(s.Client.Steady.Packets)
			}),
		},
	},
	{
		name: "bulk-mtu", title: "1 GB down, 1 stream, MTU discovery on (jumbo)", args: download(1e9, 1),
		metrics: []metric{goodput(2.3, 4), cpuPerGB(0, 0)},
	},
	{
		name: "streams", title: "100 streams × 10 MB, datagrams ≤ 1452 B", maxDatagram: 1452, args: download(10e6, 100),
		metrics: []metric{goodput(1.8, 3), cpuPerGB(0, 0)},
	},
	{
		name: "latency", title: "1-byte requests back to back", args: counted("latency", 20000),
		metrics: []metric{latency("median", 0.6, 0.2, p50), latency("p99", 0.6, 0.2, p99)},
	},
	{
		name: "latency-think", title: "1-byte requests, 1 ms think time", args: counted("latency", 3000, "-think=1ms"),
		metrics: []metric{latency("median", 0.9, 0.6, p50), latency("p99", 0.9, 0.6, p99)},
	},
	{
		name: "handshakes", title: "sequential full handshakes", args: counted("handshakes", 3000),
		metrics: []metric{handshakeRate(1.1, 1.3), cpuPerHandshake()},
	},
	{
		name: "handshakes-parallel", title: "parallel full handshakes",
		args:    counted("handshakes", 6000, fmt.Sprint("-parallel=", 16*runtime.NumCPU())),
		metrics: []metric{handshakeRate(1.2, 1.35), cpuPerHandshake()},
	},
	{
		name: "idle", title: "10,000 idle connections",
		args: counted("idle", 10000, fmt.Sprint("-parallel=", 16*runtime.NumCPU())),
		metrics: []metric{
			perConn("heap per connection, server", "kB", bound{0.5, 20}, bound{0, 8}, func(s *sample) float64 {
				return (float64(s.After.HeapBytes) - float64(s.Before.HeapBytes)) / 1e3
			}),
			perConn("heap per connection, client", "kB", bound{0.5, 20}, bound{0, 8}, func(s *sample) float64 {
				return (float64(s.Client.After.HeapBytes) - float64(s.Client.Before.HeapBytes)) / 1e3
			}),
			perConn("goroutine stacks per connection, both ends", "kB", nowhere, nowhere, func(s *sample) float64 {
				return (float64(s.After.StackBytes) - float64(s.Before.StackBytes) +
					float64(s.Client.After.StackBytes) - float64(s.Client.Before.StackBytes)) / 1e3
			}),
		},
	},
	{
		name: "link", title: "10 MB over 10 Mbps, 15 ms", link: runnerLink(nil), args: download(10e6, 1),
		metrics: []metric{goodput(0.98, 0)},
	},
	{
		name: "link-loss", title: "10 MB over 10 Mbps, 15 ms, 2 % loss", args: download(10e6, 1),
		link:    runnerLink(func(s *linkemu.Shape) { s.Loss = 0.02 }),
		metrics: []metric{goodput(0.98, 1.1)},
	},
	{
		name: "link-long", title: "10 MB over 10 Mbps, 750 ms", args: download(10e6, 1),
		link:    runnerLink(func(s *linkemu.Shape) { s.Delay = 750 * time.Millisecond }),
		metrics: []metric{goodput(0.98, 0)},
	},
}
