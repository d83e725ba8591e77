package capture

import (
	"encoding/binary"
	"io"
	"net/netip"
)

// WritePcap writes a recording in the format of tcpdump, with IP and UDP headers made up from the
// addresses. Datagrams that were lost on the way are in it as well.
func WritePcap(w io.Writer, log []Datagram) error {
	const linkTypeRaw = 101
	le := binary.LittleEndian
	head := le.AppendUint32(nil, 0xa1b23c4d) // nanoseconds
	head = le.AppendUint16(le.AppendUint16(head, 2), 4)
	head = le.AppendUint64(head, 0)
	head = le.AppendUint32(le.AppendUint32(head, 1<<18), linkTypeRaw)
	if _, err := w.Write(head); err != nil {
		return err
	}
	for i := range log {
		d := &log[i]
		from, to := d.Client, d.Server
		if d.From == Server {
			from, to = to, from
		}
		p := ipHeader(from.Addr(), to.Addr(), d.ECN, 8+len(d.Payload))
		be := binary.BigEndian
		p = be.AppendUint16(be.AppendUint16(p, from.Port()), to.Port())
		p = append(be.AppendUint16(p, uint16(8+len(d.Payload))), 0, 0)
		p = append(p, d.Payload...)
		record := le.AppendUint32(le.AppendUint32(nil, uint32(d.At/1e9)), uint32(d.At%1e9))
		record = le.AppendUint32(le.AppendUint32(record, uint32(len(p))), uint32(len(p)))
		if _, err := w.Write(append(record, p...)); err != nil {
			return err
		}
	}
	return nil
}

func ipHeader(from, to netip.Addr, ecn uint8, payload int) []byte {
	be := binary.BigEndian
	const udp, ttl = 17, 64
	if from.Is4() {
		h := be.AppendUint16([]byte{0x45, ecn}, uint16(20+payload))
		h = append(h, 0, 0, 0x40, 0, ttl, udp, 0, 0)
		return append(append(h, from.AsSlice()...), to.AsSlice()...)
	}
	h := be.AppendUint16([]byte{0x60, ecn << 4, 0, 0}, uint16(payload))
	h = append(h, udp, ttl)
	return append(append(h, from.AsSlice()...), to.AsSlice()...)
}
