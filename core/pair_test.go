package core

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/mono"
)

var (
	clientAddr = netip.MustParseAddrPort("10.0.0.1:1111")
	serverAddr = netip.MustParseAddrPort("10.0.0.2:443")
)

func testCert(t testing.TB) tls.Certificate {
	pub, key, err := ed25519.GenerateKey(mrandReader{mrand.New(mrand.NewPCG(1, 2))})
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

type mrandReader struct{ *mrand.Rand }

func (r mrandReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// A pair is a client and a server endpoint joined by a link with a fixed delay.
type pair struct {
	t              testing.TB
	now            mono.Time
	client, server *Endpoint
	flights        []flight
	delay          time.Duration
	drop           func(toServer bool, n int, b []byte) bool
	sent           [2]int
	accepted       []*Conn
}

type flight struct {
	at       mono.Time
	toServer bool
	d        Datagram
}

func newPair(t testing.TB, ccfg, scfg *Config) *pair {
	p := &pair{t: t, now: mono.FromTime(time.Unix(1e9, 0)), delay: 10 * time.Millisecond}
	random := func(seed uint64) func([]byte) {
		r := mrand.New(mrand.NewPCG(seed, 7))
		return func(b []byte) {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
	}
	var err error
	p.client, err = NewEndpoint(&EndpointConfig{Random: random(1), Layout: connid.Layout{}})
	if err != nil {
		t.Fatal(err)
	}
	p.server, err = NewEndpoint(&EndpointConfig{Random: random(2), Config: scfg, Server: true, Accept: func(c *Conn) error {
		p.accepted = append(p.accepted, c)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) flush() {
	buf := make([]byte, 65536)
	for i, e := range []*Endpoint{p.client, p.server} {
		for {
			tr, ok := e.Transmit(p.now, buf, 45)
			if !ok {
				break
			}
			for b := buf[:tr.Len]; len(b) > 0; {
				n := min(len(b), tr.SegmentSize)
				seg := bytes.Clone(b[:n])
				b = b[n:]
				to := i == 0
				p.sent[i]++
				if p.drop != nil && p.drop(to, p.sent[i], seg) {
					continue
				}
				local := serverAddr
				remote := clientAddr
				if !to {
					local, remote = clientAddr, serverAddr
				}
				p.flights = append(p.flights, flight{p.now.Add(p.delay), to, Datagram{Payload: seg, Local: local, Remote: remote, ECN: tr.ECN}})
			}
		}
	}
}

// step delivers the next datagrams or fires the next timer.
func (p *pair) step() bool {
	p.flush()
	next := min(p.client.Deadline(), p.server.Deadline())
	if len(p.flights) > 0 {
		next = min(next, p.flights[0].at)
	}
	if next == mono.Never {
		return false
	}
	p.now = max(p.now, next)
	for len(p.flights) > 0 && p.flights[0].at <= p.now {
		f := p.flights[0]
		p.flights = p.flights[1:]
		if f.toServer {
			p.server.Receive(p.now, &f.d)
		} else {
			p.client.Receive(p.now, &f.d)
		}
	}
	p.client.EndBatch(p.now)
	p.server.EndBatch(p.now)
	p.client.Advance(p.now)
	p.server.Advance(p.now)
	return true
}

func (p *pair) until(what string, cond func() bool) {
	p.t.Helper()
	for i := 0; i < 200000; i++ {
		if cond() {
			return
		}
		if !p.step() {
			break
		}
	}
	for _, e := range []*Endpoint{p.client, p.server} {
		e.Conns(func(c *Conn) bool { p.t.Logf("state %d err %v stats %+v", c.v.State, c.Err(), c.v); return true })
	}
	for _, c := range p.accepted {
		p.t.Logf("server %d %v %+v", c.v.State, c.Err(), c.v)
	}
	p.t.Fatalf("%s never happened (t=%v)", what, p.now.Time())
}

func testConfigs(t testing.TB) (c, s *Config) {
	cert := testCert(t)
	s = &Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}}
	c = &Config{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}}
	return c, s
}

func TestPairTransfer(t *testing.T) {
	cc, sc := testConfigs(t)
	p := newPair(t, cc, sc)
	c, err := p.client.Dial(p.now, &DialConfig{Config: cc, ServerName: "server", Local: clientAddr, Remote: serverAddr})
	if err != nil {
		t.Fatal(err)
	}
	var written, read int
	defer func() {
		t.Log("read", read, "written", written, "sent", c.v.DataSent, "max", c.v.MaxDataRemote, "lost", c.v.PacketsLost, "pto", c.v.PTOs, "cwnd", c.path0.Congestion.CongestionWindow, c.path0.Congestion.BytesInFlight, c.path0.MTU)
		t.Log("client", c.v.State, c.Err(), c.v.PacketsReceived, c.v.PacketsUndecryptable)
	}()
	p.until("handshake confirmed", func() bool { return c.v.HandshakeConfirmed != 0 })
	t.Log("handshake", p.now.Sub(c.v.StartTime), c.Version())
	st, err := c.OpenStream(true)
	if err != nil {
		t.Fatal(err)
	}
	const total = 10 << 20
	src := mrandReader{mrand.New(mrand.NewPCG(3, 4))}
	chunk := make([]byte, 32<<10)
	src.Read(chunk)
	written, read = 0, 0
	out := make([]byte, 64<<10)
	start := p.now
	p.until("all read", func() bool {
		if written < total {
			n := st.SendFIFO().Write(chunk[:min(len(chunk), total-written)])
			written += n
			if written == total {
				st.SendFIFO().CloseWrite()
			}
			c.StreamWritten(p.now, st)
		}
		if len(p.accepted) > 0 {
			if ss := p.accepted[0].streams.byID[0]; ss != nil {
				for {
					n := ss.RecvFIFO().Read(out)
					if n == 0 {
						break
					}
					read += n
				}
				p.accepted[0].StreamRead(p.now, ss)
			}
		}
		return read == total
	})
	t.Logf("%d bytes in %v, client stats lost=%d sent=%d mtu=%d cwnd=%d err=%v", read, p.now.Sub(start), c.v.PacketsLost, c.v.PacketsSent, c.path0.MTU, c.path0.Congestion.CongestionWindow, c.Err())
	if c.v.PacketsLost > 0 {
		t.Errorf("%d packets lost on a perfect link", c.v.PacketsLost)
	}
	c.Close(p.now, 7, "bye")
	p.until("closed", func() bool { return p.client.Len() == 0 && p.server.Len() == 0 })
}
