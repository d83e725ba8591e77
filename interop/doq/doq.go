// Package doq is a DNS server over QUIC (RFC 9250) for tests: it answers every question with one A
// record, on any [stack.Stack].
package doq

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pquic-go/pquic/bench/stack"
)

// Address is what every name resolves to, one that RFC 5737 keeps for documentation.
var Address = [4]byte{192, 0, 2, 53}

// Main is the program: it serves until its process is ended. Its first line is "listening on ADDRESS".
func Main(s stack.Stack) {
	fmt.Fprintln(os.Stderr, "doq:", run(s, os.Args[1:])) // it serves until something fails
	os.Exit(1)
}

func run(s stack.Stack, args []string) error {
	f := flag.NewFlagSet("doq", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:853", "UDP `address`")
	cert := f.String("cert", "", "certificate `file`")
	key := f.String("key", "", "private key `file`")
	if err := f.Parse(args); err != nil {
		return err
	}
	c, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return err
	}
	l, err := s.Listen(*listen, &stack.Config{
		TLS:        &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"doq"}},
		MaxStreams: 100, IdleTimeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	return Serve(context.Background(), l)
}

// Serve answers queries until l is closed.
func Serve(ctx context.Context, l stack.Listener) error {
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		go func() {
			for {
				s, err := c.AcceptStream(ctx)
				if err != nil {
					return
				}
				go func() {
					if err := answer(s); err != nil {
						fmt.Fprintln(os.Stderr, "doq:", err)
					}
				}()
			}
		}()
	}
}

// answer serves one query. "The client MUST send the DNS query over the selected stream and MUST
// indicate through the STREAM FIN mechanism that no further data will be sent on that stream."
// https://www.rfc-editor.org/rfc/rfc9250#section-4.2
func answer(s stack.Stream) error {
	b, err := io.ReadAll(io.LimitReader(s, 2+65535))
	if err != nil {
		return err
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return errors.New("a query's length does not match its prefix")
	}
	m, err := response(b[2:])
	if err != nil {
		return err
	}
	if _, err := s.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
		return err
	}
	return s.CloseWrite()
}

// response makes the answer to a query with one question.
func response(q []byte) ([]byte, error) {
	const header = 12
	if len(q) < header || binary.BigEndian.Uint16(q[4:]) != 1 {
		return nil, errors.New("not a query with one question")
	}
	// "When sending queries over a QUIC connection, the DNS Message ID MUST be set to 0."
	// https://www.rfc-editor.org/rfc/rfc9250#section-4.2.1
	if q[0] != 0 || q[1] != 0 {
		return nil, errors.New("the message ID is not 0")
	}
	end := header
	for end < len(q) && q[end] != 0 {
		if q[end] > 63 {
			return nil, errors.New("a compressed name in a question")
		}
		end += 1 + int(q[end])
	}
	end += 1 + 4 // the root, type and class
	if end > len(q) {
		return nil, errors.New("the question ends early")
	}
	m := append([]byte{0, 0, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0}, q[header:end]...) // QR and AA set
	m = append(m, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(m, Address[:]...), nil
}
