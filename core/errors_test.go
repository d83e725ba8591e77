package core

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// Every error has its RFC's name, says who raised it and which frame provoked
// it, and is found by errors.Is and errors.As through any wrapping.
func TestTypedErrors(t *testing.T) {
	names := map[TransportErrorCode]string{
		0x00: "NO_ERROR", 0x01: "INTERNAL_ERROR", 0x02: "CONNECTION_REFUSED", 0x03: "FLOW_CONTROL_ERROR",
		0x04: "STREAM_LIMIT_ERROR", 0x05: "STREAM_STATE_ERROR", 0x06: "FINAL_SIZE_ERROR", 0x07: "FRAME_ENCODING_ERROR",
		0x08: "TRANSPORT_PARAMETER_ERROR", 0x09: "CONNECTION_ID_LIMIT_ERROR", 0x0a: "PROTOCOL_VIOLATION", 0x0b: "INVALID_TOKEN",
		0x0c: "APPLICATION_ERROR", 0x0d: "CRYPTO_BUFFER_EXCEEDED", 0x0e: "KEY_UPDATE_ERROR", 0x0f: "AEAD_LIMIT_REACHED",
		0x10: "NO_VIABLE_PATH", 0x11: "VERSION_NEGOTIATION_ERROR", 0x100 + 42: "CRYPTO_ERROR", 0x4242: "0x4242",
	}
	for code, name := range names {
		for _, remote := range []bool{false, true} {
			e := &TransportError{Code: code, FrameType: wire.MaxStreamData, Reason: "because", Remote: remote}
			err := fmt.Errorf("dial: %w", e)
			for _, part := range []string{name, "MAX_STREAM_DATA", "because", map[bool]string{true: "peer", false: "local"}[remote]} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if !errors.Is(err, &TransportError{Code: code}) || errors.Is(err, &TransportError{Code: code + 1}) || errors.Is(err, &ApplicationError{Code: uint64(code)}) {
				t.Errorf("%v is not told from others", err)
			}
			var te *TransportError
			if !errors.As(err, &te) || te.FrameType != wire.MaxStreamData || te.Remote != remote {
				t.Errorf("%v: %+v", err, te)
			}
		}
	}
	app := fmt.Errorf("read: %w", &ApplicationError{Code: 7, Reason: "enough", Remote: true})
	if !errors.Is(app, &ApplicationError{Code: 7}) || errors.Is(app, &ApplicationError{Code: 8}) || errors.Is(app, &TransportError{Code: 7}) || !strings.Contains(app.Error(), "0x7") {
		t.Errorf("%v is not told from others", app)
	}
	cause := &TransportError{Code: cryptoErrorBase + 42, Cause: tls.AlertError(42)}
	var alert tls.AlertError
	if !errors.As(cause, &alert) || alert != 42 {
		t.Error("the cause is not found")
	}
}

// "An endpoint MUST NOT reuse a packet number … If the packet number for sending
// reaches 2^62-1, the sender MUST close the connection without sending a
// CONNECTION_CLOSE frame or any further packets".
// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
func TestPacketNumbersRunOut(t *testing.T) {
	l := connected(t)
	l.wait(1e9)
	sent := 0
	l.lost = func(*labDatagram) bool { sent++; return false }
	l.c.path0.Space.NextNumber = maxPacketNumber - 100
	l.c.Ping(l.now)
	l.flush()
	if !errors.Is(l.c.Err(), ErrPacketNumbers) || l.c.v.State != StateClosed || sent != 0 {
		t.Errorf("ended with %v in state %d after %d more datagrams", l.c.Err(), l.c.v.State, sent)
	}
}
