package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pquic-go/pquic/interop/capture"
)

// An Outcome is what is known after the endpoints have ended.
type Outcome struct {
	Case     *Case
	Names    []string // of the files
	WWW      string
	Download string
	Trace    *capture.Trace
	// Note goes into the table beside the verdict.
	Note string
}

// checkFiles compares what arrived with what was served.
func (o *Outcome) checkFiles() error {
	got, err := os.ReadDir(o.Download)
	if err != nil {
		return err
	}
	for _, name := range o.Names {
		want, err := os.ReadFile(filepath.Join(o.WWW, name))
		if err != nil {
			return err
		}
		have, err := os.ReadFile(filepath.Join(o.Download, name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%.20s did not arrive (%d of %d files did)", name, len(got), len(o.Names))
		case err != nil:
			return err
		case len(have) != len(want):
			return fmt.Errorf("%.20s has %d bytes, want %d", name, len(have), len(want))
		case !bytes.Equal(have, want):
			return fmt.Errorf("%.20s differs from what was served", name)
		}
	}
	if len(got) != len(o.Names) {
		return fmt.Errorf("%d files arrived, want %d", len(got), len(o.Names))
	}
	return nil
}

// served are the connections that a server answered.
func (o *Outcome) served() []*capture.Conn {
	var out []*capture.Conn
	for _, c := range o.Trace.Conns {
		if len(c.InitialVersions[capture.Server]) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func (o *Outcome) check() error {
	if err := o.checkFiles(); err != nil {
		return err
	}
	want := o.Case.Handshakes
	switch want {
	case 0:
		want = 1
	case -1:
		want = len(o.Names)
	}
	conns := o.served()
	// Giving a connection up for a new one does not count as coping with a bad link.
	if len(conns) != want {
		return fmt.Errorf("%d handshakes, want %d", len(conns), want)
	}
	if o.Case.Name != "v2" {
		for _, c := range conns {
			if v := c.InitialVersions[capture.Server]; !slices.Equal(v, []uint32{capture.Version1}) {
				return fmt.Errorf("the server used versions %x, want 1", v)
			}
		}
	}
	if o.Case.Check != nil {
		return o.Case.Check(o)
	}
	return nil
}

func (o *Outcome) first() *capture.Conn { return o.served()[0] }

// decrypted is an error if the recording cannot be read: no side wrote a key log.
func decrypted(c *capture.Conn) error {
	for s, n := range c.Phases {
		if n == [2]int{} {
			return fmt.Errorf("no 1-RTT packet of the %v could be decrypted: is there a key log?", capture.Side(s))
		}
	}
	return nil
}

func noRetry(o *Outcome) error {
	if n := len(o.first().RetryTokens); n > 0 {
		return fmt.Errorf("%d Retry packets, want none", n)
	}
	return nil
}

func cleanClose(o *Outcome) error {
	const h3NoError = 0x100
	for side, closes := range o.first().Closes {
		for _, c := range closes {
			if c.Code != 0 && (!c.Application || c.Code != h3NoError) {
				return fmt.Errorf("the %v closed with code %#x, want no error", capture.Side(side), c.Code)
			}
		}
	}
	return nil
}

func clientHellos(n int) func(*Outcome) error {
	return func(o *Outcome) error {
		if got := o.first().ClientHellos; got < n {
			return fmt.Errorf("%d packets with a ClientHello, want at least %d: is the link as long as it should be?", got, n)
		}
		return nil
	}
}

func onlyChaCha20(o *Outcome) error {
	const chacha20 = 0x1303
	c := o.first()
	if !slices.Equal(c.OfferedSuites, []uint16{chacha20}) {
		return fmt.Errorf("the client offered suites %#x, want ChaCha20 alone", c.OfferedSuites)
	}
	if c.Suite != chacha20 {
		return fmt.Errorf("the server chose suite %#x, want ChaCha20", c.Suite)
	}
	return nil
}

func streamLimit(most uint64) func(*Outcome) error {
	return func(o *Outcome) error {
		const initialMaxStreamsBidi = 0x08
		got, ok := o.first().IntParameter(capture.Server, initialMaxStreamsBidi)
		if !ok {
			return errors.New("the server's transport parameters could not be read: is there a key log?")
		}
		if got > most {
			return fmt.Errorf("the server allowed %d streams at once, want at most %d, so that the limit must rise", got, most)
		}
		return nil
	}
}

func retried(o *Outcome) error {
	c := o.first()
	if len(c.RetryTokens) == 0 {
		return errors.New("the server sent no Retry")
	}
	if !c.TokenUsed {
		return errors.New("no Initial packet carried the token of a Retry")
	}
	return nil
}

func resumed(o *Outcome) error {
	first, second := o.served()[0], o.served()[1]
	switch {
	case !first.CertificateSent:
		return errors.New("no certificate was seen in the first handshake: is there a key log?")
	case !second.OfferedPSK:
		return errors.New("the second ClientHello offered no session")
	case !second.AcceptedPSK:
		return errors.New("the server did not resume the session")
	case second.CertificateSent:
		return errors.New("the server sent its certificate in the second handshake")
	}
	return nil
}

func earlyData(o *Outcome) error {
	if err := resumed(o); err != nil {
		return err
	}
	c := o.served()[1]
	if c.ZeroRTTBytes == 0 {
		return errors.New("the client sent no 0-RTT packet")
	}
	if !c.AcceptedEarlyData {
		return errors.New("the server did not accept 0-RTT")
	}
	// Probing for a larger MTU, on loopback for one of several kilobytes, is no request.
	sent := c.OneRTTBytes[capture.Client] - c.OneRTTPadding[capture.Client]
	if most := len(o.Names) * o.Case.NameLength / 2; sent > most {
		return fmt.Errorf("the client sent %d bytes beside padding in 1-RTT packets, want at most %d: the requests belong into 0-RTT", sent, most)
	}
	return nil
}

// blackedOut makes sure that the gap hit the transfer.
func blackedOut(o *Outcome) error {
	c := o.first()
	if d := c.LastOneRTT[capture.Server] - c.FirstOneRTT[capture.Server]; d < 2*time.Second {
		return fmt.Errorf("the transfer took %v: the blackhole did not hit it", d)
	}
	return nil
}

func keysUpdated(o *Outcome) error {
	c := o.first()
	if err := decrypted(c); err != nil {
		return err
	}
	for side, phases := range c.Phases {
		if phases[1] == 0 {
			return fmt.Errorf("the %v sent no packet with key phase 1", capture.Side(side))
		}
	}
	return nil
}

func marked(o *Outcome) error {
	c := o.first()
	if err := decrypted(c); err != nil {
		return err
	}
	for side, n := range c.ECN {
		if n[1]+n[2] == 0 {
			return fmt.Errorf("the %v marked no datagram ECT", capture.Side(side))
		}
		if n[3] > 0 {
			return fmt.Errorf("the %v sent %d datagrams marked CE", capture.Side(side), n[3])
		}
		if c.Frames[side][capture.FrameAckECN] == 0 {
			return fmt.Errorf("the %v sent no ACK frame with ECN counts", capture.Side(side))
		}
	}
	return nil
}

// longChain is the CRYPTO data from which the server must have used the long certificate chain.
const longChain = 7500

func amplification(o *Outcome) error {
	c := o.first()
	if n := c.HandshakeCrypto[capture.Server]; n < longChain {
		return fmt.Errorf("the server sent %d bytes of handshake, want %d at least: is it using the long certificate chain, and is there a key log?", n, longChain)
	}
	o.Note = fmt.Sprintf("%.2f ×", c.Amplification())
	// "an endpoint MUST limit the amount of data it sends to the unvalidated address to three times
	// the amount of data received from that address."
	// https://www.rfc-editor.org/rfc/rfc9000#section-8
	if a := c.Amplification(); a > 3 {
		return fmt.Errorf("the server sent %.2f times what it had received before the client's address was validated", a)
	}
	return nil
}

func version2(o *Outcome) error {
	c := o.first()
	if !slices.Contains(c.InitialVersions[capture.Server], capture.Version2) {
		return fmt.Errorf("the server's Initial packets have versions %x, want 2", c.InitialVersions[capture.Server])
	}
	for side, v := range c.HandshakeVersions {
		if !slices.Equal(v, []uint32{capture.Version2}) {
			return fmt.Errorf("the %v's Handshake packets have versions %x, want 2", capture.Side(side), v)
		}
	}
	if slices.Contains(c.InitialVersions[capture.Client], capture.Version1) {
		o.Note = "from v1"
	}
	return nil
}

// rebound checks that the server followed a client that did not know of its new address.
func rebound(address bool) func(*Outcome) error {
	return func(o *Outcome) error {
		c := o.first()
		if err := decrypted(c); err != nil {
			return err
		}
		addrs := make(map[any]bool)
		followed := 0
		for i, p := range c.Paths {
			addrs[p.Client.Addr()] = true
			if i == 0 || p.Datagrams[capture.Server] == 0 {
				continue
			}
			followed++
			if !p.FirstChallenge {
				return fmt.Errorf("the server's first datagram to %v had no PATH_CHALLENGE", p.Client)
			}
		}
		if followed == 0 {
			return errors.New("the server never sent to a new address of the client")
		}
		if address && len(addrs) < 2 {
			return errors.New("the client's address never changed")
		}
		answered := 0
		for _, p := range c.Paths[1:] {
			if len(p.Challenges) > 0 && c.Answered(p) {
				answered++
			}
		}
		if answered == 0 {
			return errors.New("the client answered no PATH_CHALLENGE")
		}
		o.Note = fmt.Sprintf("%d paths", len(c.Paths))
		return nil
	}
}

// migrated checks that the client moved on purpose: with another connection ID.
func migrated(o *Outcome) error {
	c := o.first()
	if err := decrypted(c); err != nil {
		return err
	}
	if len(c.Paths) < 2 {
		return errors.New("the client stayed on its first path")
	}
	last := c.Paths[len(c.Paths)-1]
	for _, id := range last.ClientIDs {
		// "An endpoint MUST NOT reuse a connection ID when sending from more than one local address"
		// https://www.rfc-editor.org/rfc/rfc9000#section-9.5
		if slices.Contains(c.Paths[0].ClientIDs, id) {
			return errors.New("the client used a connection ID on two paths")
		}
	}
	if n := last.Datagrams; n[0] < 10 || n[1] < 10 {
		return fmt.Errorf("%d and %d datagrams on the last path: the connection did not move there", n[0], n[1])
	}
	return nil
}

// goodput is what a measurement reports, in Mbps.
func (o *Outcome) goodput() float64 {
	c := o.first()
	total := 0
	for _, name := range o.Names {
		if info, err := os.Stat(filepath.Join(o.Download, name)); err == nil {
			total += int(info.Size())
		}
	}
	return float64(total) * 8 / 1e6 / (c.LastOneRTT[capture.Server] - c.FirstOneRTT[capture.Server]).Seconds()
}
