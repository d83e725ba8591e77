package wire

import "testing"

var sink int

func BenchmarkParseVarint(b *testing.B) {
	in := [][]byte{AppendVarint(nil, 37), AppendVarint(nil, 15293), AppendVarint(nil, 494878333), AppendVarint(nil, 1<<40)}
	for i := 0; b.Loop(); i++ {
		_, n := ParseVarint(in[i&3])
		sink += n
	}
}

func BenchmarkParseLongHeader(b *testing.B) {
	h := AppendLongHeader(nil, Initial, Version1, mustConnID(b, "0102030405060708"), mustConnID(b, "1112131415161718"), nil, 2)
	SetLongLength(h, len(h), 1150)
	h = AppendPadding(h, 1150)
	b.ReportAllocs()
	for b.Loop() {
		p, _ := ParseLongHeader(h)
		sink += p.End
	}
}

func BenchmarkParseStream(b *testing.B) {
	p := AppendStream(nil, StreamFrame{ID: 4, Offset: 1 << 25, Data: make([]byte, 1200)}, true)
	b.ReportAllocs()
	for b.Loop() {
		_, n := ParseStream(p)
		sink += n
	}
}

func BenchmarkAppendStreamHeader(b *testing.B) {
	buf := make([]byte, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		sink += len(AppendStreamHeader(buf, 4, 1<<25, 1200, false, true))
	}
}

func benchRanges() []PNRange {
	var ranges []PNRange
	for i := range uint64(10) {
		ranges = append(ranges, PNRange{100000 - 100*i, 100000 - 100*i + 50})
	}
	return ranges
}

func BenchmarkParseAck10Ranges(b *testing.B) {
	p := AppendAck(nil, Ack, benchRanges(), 70, ECNCounts{}, 200)
	b.ReportAllocs()
	for b.Loop() {
		f, _ := ParseAck(p)
		it := f.Ranges()
		for it.Next() {
			sink += int(it.Lo)
		}
	}
}

func BenchmarkAppendAck10Ranges(b *testing.B) {
	ranges := benchRanges()
	buf := make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		sink += len(AppendAck(buf, Ack, ranges, 70, ECNCounts{}, 200))
	}
}

func BenchmarkParseTransportParameters(b *testing.B) {
	tp := randParameters(newRand(10), true)
	p := tp.Append(nil, true)
	b.ReportAllocs()
	for b.Loop() {
		tp, _ := ParseTransportParameters(p, true)
		sink += int(tp.MaxUDPPayloadSize)
	}
}
