package monitoring

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A collector decodes messages as RFC 7011 says, knowing nothing of the encoder
// but what the templates tell.
type collector struct {
	templates map[uint16][]element
	sequence  uint32
	announced int                 // template sets seen
	records   []map[string]string // values in hexadecimal by enterprise/number
}

type element struct {
	name string
	size int
}

func (c *collector) message(b []byte) error {
	be := binary.BigEndian
	if len(b) < 16 || be.Uint16(b) != 10 || int(be.Uint16(b[2:])) != len(b) {
		return fmt.Errorf("header %x of %d bytes", b[:min(len(b), 16)], len(b))
	}
	if n := be.Uint32(b[8:]); n != c.sequence {
		return fmt.Errorf("sequence number %d, want %d", n, c.sequence)
	}
	for b = b[16:]; len(b) > 0; {
		if len(b) < 4 || int(be.Uint16(b[2:])) < 4 || int(be.Uint16(b[2:])) > len(b) {
			return fmt.Errorf("set header %x, %d bytes are left", b[:min(len(b), 4)], len(b))
		}
		n := int(be.Uint16(b[2:]))
		if err := c.set(be.Uint16(b), b[4:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *collector) set(id uint16, b []byte) error {
	if id != 2 {
		return c.data(id, b)
	}
	be := binary.BigEndian
	c.announced++
	for len(b) > 0 {
		id, n := be.Uint16(b), int(be.Uint16(b[2:]))
		b = b[4:]
		var list []element
		for range n {
			number, size, enterprise := be.Uint16(b), int(be.Uint16(b[2:])), uint32(0)
			b = b[4:]
			if number>>15 == 1 {
				enterprise, b = be.Uint32(b), b[4:]
			}
			list = append(list, element{fmt.Sprintf("%d/%d", enterprise, number&0x7fff), size})
		}
		if c.templates == nil {
			c.templates = make(map[uint16][]element)
		}
		c.templates[id] = list
	}
	return nil
}

func (c *collector) data(id uint16, b []byte) error {
	t := c.templates[id]
	if t == nil {
		return fmt.Errorf("a data set of the unknown template %d", id)
	}
	for len(b) > 0 {
		r := make(map[string]string)
		for _, e := range t {
			if len(b) < e.size {
				return errors.New("a data record is cut short")
			}
			r[e.name] = hex.EncodeToString(b[:e.size])
			b = b[e.size:]
		}
		c.records = append(c.records, r)
		c.sequence++
	}
	return nil
}

// exporter returns a sink whose messages are kept, and its clock.
func exporter() (*IPFIX, *memory, *time.Time) {
	m, now := new(memory), begin.Add(time.Hour)
	return NewIPFIX(m, func() time.Time { return now }), m, &now
}

func TestIPFIX(t *testing.T) {
	x, m, now := exporter()
	first := flow(Established, 2, "198.51.100.2:1000")
	for _, f := range []*Flow{first, after(first, Finished, 5), flow(Update, 1, "[2001:db8::2]:1000")} {
		if err := x.Flow(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Flush(); err != nil || len(m.writes) != 1 {
		t.Fatalf("%d messages, %v", len(m.writes), err)
	}
	if at := binary.BigEndian.Uint32(m.writes[0][4:]); int64(at) != now.Unix() {
		t.Errorf("export time %d", at)
	}
	var c collector
	if err := c.message(m.writes[0]); err != nil {
		t.Fatal(err)
	}
	if len(c.records) != 3 || len(c.templates) != 2 {
		t.Fatalf("%d records, %d templates", len(c.records), len(c.templates))
	}
	number := func(n uint64, size int) string { return fmt.Sprintf("%0*x", 2*size, n) }
	want := map[string]string{
		"0/148":   number(7, 8),
		"0/152":   number(uint64(begin.UnixMilli()), 8),
		"0/153":   number(uint64(begin.UnixMilli())+5000, 8),
		"0/8":     "c6336402", // the client's
		"0/12":    "c0000201",
		"0/7":     number(1000, 2),
		"0/11":    number(443, 2),
		"0/4":     number(17, 1),
		"0/239":   number(1, 1),
		"0/136":   number(3, 1),
		"0/1":     number(1500+15*28, 8), // the server received it
		"0/2":     number(15, 8),
		"29305/1": number(30000+30*28, 8),
		"29305/2": number(30, 8),
		"32473/1": number(uint64(Finished), 1),
		"32473/2": number(1, 4),
		"32473/3": number(30000, 4),
		"32473/4": number(20000, 4),
		"32473/5": number(15000, 4),
		"32473/6": number(3000, 4),
		"32473/7": number(60000, 8),
		// 8, 9: nothing in flight, no estimate
		"32473/10": number(3, 8),
	}
	for name, v := range want {
		if got := c.records[1][name]; got != v {
			t.Errorf("%s is %q, want %q", name, got, v)
		}
	}
	if v := c.records[2]["0/27"]; v != "20010db8000000000000000000000002" {
		t.Errorf("IPv6 client: %s", v)
	}
	if v := c.records[2]["0/28"]; v != "00000000000000000000ffffc0000201" {
		t.Errorf("IPv4 server of an IPv6 client: %s", v)
	}
	if len(c.records[0]) != 28 {
		t.Errorf("%d elements, want 28", len(c.records[0]))
	}
}

// An exporter on the client's side is the source.
func TestIPFIXClient(t *testing.T) {
	x, m, _ := exporter()
	f := flow(Finished, 1, "198.51.100.2:443")
	f.Server = false
	_ = x.Flow(f)
	_ = x.Flush()
	var c collector
	if err := c.message(m.writes[0]); err != nil {
		t.Fatal(err)
	}
	if r := c.records[0]; r["0/8"] != "c0000201" || r["0/2"] != "000000000000000a" {
		t.Errorf("source %s, packets %s", r["0/8"], r["0/2"])
	}
}

// Messages stay below the bound, number their records without a gap, and repeat
// the templates by number and by time.
func TestIPFIXStream(t *testing.T) {
	x, m, now := exporter()
	clients := []string{"198.51.100.2:1000", "[2001:db8::2]:1000"}
	for i := range 1000 {
		if err := x.Flow(flow(Update, uint64(i), clients[i/3%2])); err != nil {
			t.Fatal(err)
		}
	}
	_ = x.Flush()
	var c collector
	for i, b := range m.writes {
		if len(b) > maxIPFIX {
			t.Fatalf("message %d has %d bytes", i, len(b))
		}
		if err := c.message(b); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if len(c.records) != 1000 {
		t.Errorf("%d records, want 1000", len(c.records))
	}
	if want := (len(m.writes) + templateMessages - 1) / templateMessages; c.announced != want {
		t.Errorf("templates in %d of %d messages, want %d", c.announced, len(m.writes), want)
	}
	before := c.announced
	for range 2 {
		*now = now.Add(templateTime)
		_ = x.Flow(flow(Update, 1, clients[0]))
		_ = x.Flush()
		if err := c.message(m.writes[len(m.writes)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if c.announced != before+2 {
		t.Errorf("templates %d times after as many times %v, want 2", c.announced-before, templateTime)
	}
	n := len(m.writes)
	if err := x.Flush(); err != nil || len(m.writes) != n {
		t.Error("an empty message is sent")
	}
	if err := x.Close(); err != nil || !m.closed {
		t.Errorf("the socket stays open, %v", err)
	}
}

// A message that is not sent leaves a gap in the sequence numbers.
func TestIPFIXLoss(t *testing.T) {
	x, m, _ := exporter()
	m.err = errors.New("refused")
	_ = x.Flow(flow(Update, 1, "198.51.100.2:1000"))
	if err := x.Flush(); err != m.err {
		t.Errorf("error %v", err)
	}
	m.err = nil
	_ = x.Flow(flow(Update, 2, "198.51.100.2:1000"))
	_ = x.Flush()
	if n := binary.BigEndian.Uint32(m.writes[1][8:]); n != 1 {
		t.Errorf("sequence number %d, want 1", n)
	}
}

func TestIPFIXSocket(t *testing.T) {
	s, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := DialIPFIX(s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewCollector(func(err error) { t.Error(err) }, x)
	c.flows <- flow(Finished, 1, "198.51.100.2:1000")
	c.Close()
	b := make([]byte, 1<<16)
	n, _, err := s.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	var decoded collector
	if err := decoded.message(b[:n]); err != nil || len(decoded.records) != 1 {
		t.Errorf("%d records, %v", len(decoded.records), err)
	}
	if _, err := DialIPFIX("127.0.0.1"); err == nil {
		t.Error("an address without a port is taken")
	}
}

// capture writes UDP payloads sent to port 4739 in the format of pcap.
// https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/
func capture(payloads [][]byte) []byte {
	const rawIPv4 = 228
	le, be := binary.LittleEndian, binary.BigEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(le.AppendUint16(b, 2), 4)
	b = le.AppendUint32(append(b, make([]byte, 8)...), 1<<16)
	b = le.AppendUint32(b, rawIPv4)
	for i, p := range payloads {
		n := 20 + 8 + len(p)
		b = le.AppendUint32(le.AppendUint32(b, uint32(i)), 0)
		b = le.AppendUint32(le.AppendUint32(b, uint32(n)), uint32(n))
		b = be.AppendUint16(append(b, 0x45, 0), uint16(n))
		b = append(b, 0, 0, 0, 0, 64, protocolUDP, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		b = be.AppendUint16(be.AppendUint16(b, 50000), 4739)
		b = append(be.AppendUint16(b, uint16(8+len(p))), 0, 0)
		b = append(b, p...)
	}
	return b
}

// What others make of the messages.
func TestIPFIXTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark on this machine: ", err)
	}
	x, m, _ := exporter()
	for i := range uint64(20) {
		_ = x.Flow(flow(Update, i+1, "198.51.100.2:1000"))
		_ = x.Flow(flow(Update, i+1, "[2001:db8::2]:1000"))
	}
	_ = x.Flush()
	file := filepath.Join(t.TempDir(), "ipfix.pcap")
	if err := os.WriteFile(file, capture(m.writes), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", file, "-d", "udp.port==4739,cflow", "-T", "fields"}
	for _, name := range []string{"cflow.version", "cflow.sequence", "cflow.srcaddr", "cflow.srcaddrv6", "cflow.srcport", "cflow.protocol", "cflow.octets", "_ws.malformed", "_ws.expert.message"} {
		args = append(args, "-e", name)
	}
	out, err := exec.Command(tshark, args...).Output()
	if err != nil {
		t.Skip("tshark does not run here: ", err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != len(m.writes) {
		t.Fatalf("tshark saw %d messages of %d", len(lines), len(m.writes))
	}
	octets, v4, v6 := 0, 0, 0
	for i, line := range lines {
		f := strings.Split(line, "\t")
		if len(f) != 9 || f[0] != "10" || f[7] != "" || f[8] != "" {
			t.Errorf("message %d: %q", i, line)
			continue
		}
		v4 += strings.Count(f[2], "198.51.100.2")
		v6 += strings.Count(f[3], "2001:db8::2")
		octets += len(strings.Split(f[6], ","))
	}
	if v4 != 20 || v6 != 20 || octets < 40 {
		t.Errorf("tshark decoded %d IPv4 sources, %d IPv6 sources, %d counts of octets; want 20, 20, 40 or more\n%s", v4, v6, octets, out)
	}
}
