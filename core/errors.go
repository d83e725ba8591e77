package core

import (
	"errors"
	"fmt"

	"github.com/pquic-go/pquic/core/wire"
)

// A TransportErrorCode is a QUIC transport error code.
// It is deliberately not an error: an error also says which side raised it
// and which frame was being handled.
// https://www.rfc-editor.org/rfc/rfc9000#section-20.1
type TransportErrorCode uint64

// Transport error codes.
const (
	NoError                   TransportErrorCode = 0x00
	InternalError             TransportErrorCode = 0x01
	ConnectionRefused         TransportErrorCode = 0x02
	FlowControlError          TransportErrorCode = 0x03
	StreamLimitError          TransportErrorCode = 0x04
	StreamStateError          TransportErrorCode = 0x05
	FinalSizeError            TransportErrorCode = 0x06
	FrameEncodingError        TransportErrorCode = 0x07
	TransportParameterError   TransportErrorCode = 0x08
	ConnectionIDLimitError    TransportErrorCode = 0x09
	ProtocolViolation         TransportErrorCode = 0x0a
	InvalidToken              TransportErrorCode = 0x0b
	ApplicationErrorCode      TransportErrorCode = 0x0c
	CryptoBufferExceeded      TransportErrorCode = 0x0d
	KeyUpdateError            TransportErrorCode = 0x0e
	AEADLimitReached          TransportErrorCode = 0x0f
	NoViablePath              TransportErrorCode = 0x10
	VersionNegotiationFailure TransportErrorCode = 0x11 // RFC 9368 section 10.2
	cryptoErrorBase           TransportErrorCode = 0x100
)

var transportErrorNames = map[TransportErrorCode]string{
	NoError:                   "NO_ERROR",
	InternalError:             "INTERNAL_ERROR",
	ConnectionRefused:         "CONNECTION_REFUSED",
	FlowControlError:          "FLOW_CONTROL_ERROR",
	StreamLimitError:          "STREAM_LIMIT_ERROR",
	StreamStateError:          "STREAM_STATE_ERROR",
	FinalSizeError:            "FINAL_SIZE_ERROR",
	FrameEncodingError:        "FRAME_ENCODING_ERROR",
	TransportParameterError:   "TRANSPORT_PARAMETER_ERROR",
	ConnectionIDLimitError:    "CONNECTION_ID_LIMIT_ERROR",
	ProtocolViolation:         "PROTOCOL_VIOLATION",
	InvalidToken:              "INVALID_TOKEN",
	ApplicationErrorCode:      "APPLICATION_ERROR",
	CryptoBufferExceeded:      "CRYPTO_BUFFER_EXCEEDED",
	KeyUpdateError:            "KEY_UPDATE_ERROR",
	AEADLimitReached:          "AEAD_LIMIT_REACHED",
	NoViablePath:              "NO_VIABLE_PATH",
	VersionNegotiationFailure: "VERSION_NEGOTIATION_ERROR",
}

// String returns the RFC's name of the code.
func (c TransportErrorCode) String() string {
	if s, ok := transportErrorNames[c]; ok {
		return s
	}
	if c >= cryptoErrorBase && c <= 0x1ff {
		return fmt.Sprintf("CRYPTO_ERROR(alert %d)", uint64(c-cryptoErrorBase))
	}
	return fmt.Sprintf("0x%x", uint64(c))
}

// A TransportError ended the connection with a CONNECTION_CLOSE frame of
// type 0x1c, sent by us or by the peer.
type TransportError struct {
	Code      TransportErrorCode
	FrameType wire.FrameType // the frame that provoked it; 0 when unknown
	Reason    string
	Remote    bool  // raised by the peer
	Cause     error // what we know of it beyond the wire: a *protoops.PlugletError if a plugin failed, crypto/tls's error if TLS did
}

// Unwrap returns Cause.
func (e *TransportError) Unwrap() error { return e.Cause }

func (e *TransportError) Error() string {
	who := "local"
	if e.Remote {
		who = "peer"
	}
	s := fmt.Sprintf("quic: %s closed the connection: %s", who, e.Code)
	if e.FrameType != 0 {
		s += fmt.Sprintf(" in frame %s", e.FrameType)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is matches another *TransportError with the same code, so that
// errors.Is(err, &TransportError{Code: FlowControlError}) works whoever
// raised it.
func (e *TransportError) Is(target error) bool {
	t, ok := target.(*TransportError)
	return ok && t.Code == e.Code
}

// An ApplicationError ended the connection with a CONNECTION_CLOSE frame of
// type 0x1d: the application protocol's own code.
type ApplicationError struct {
	Code   uint64
	Reason string
	Remote bool
}

func (e *ApplicationError) Error() string {
	who := "local application"
	if e.Remote {
		who = "peer application"
	}
	s := fmt.Sprintf("quic: %s closed the connection with code 0x%x", who, e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is matches another *ApplicationError with the same code.
func (e *ApplicationError) Is(target error) bool {
	t, ok := target.(*ApplicationError)
	return ok && t.Code == e.Code
}

// Ends of a connection that no CONNECTION_CLOSE frame announces.
var (
	// ErrIdleTimeout: nothing was received for the idle timeout.
	// https://www.rfc-editor.org/rfc/rfc9000#section-10.1
	ErrIdleTimeout = errors.New("quic: no packet from the peer within the idle timeout")
	// ErrHandshakeTimeout: the handshake did not finish in time.
	ErrHandshakeTimeout = errors.New("quic: handshake did not complete in time")
	// ErrStatelessReset: the peer has lost the connection's state.
	// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
	ErrStatelessReset = errors.New("quic: peer sent a stateless reset")
	// ErrForgedInitial: a client's first packet failed authentication, and the
	// connection it asked for was given up at once.
	ErrForgedInitial = errors.New("quic: the client's first packet failed authentication")
	// ErrNoPath: every path of the connection has failed.
	ErrNoPath = errors.New("quic: no usable path left")
	// ErrPacketNumbers: all packet numbers are used up.
	// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
	ErrPacketNumbers = errors.New("quic: packet numbers are used up")
)

// Refusals of an application's call.
var (
	ErrStreamLimit  = errors.New("quic: the peer's stream limit is reached")
	ErrClosed       = errors.New("quic: connection is closed")
	ErrNotReady     = errors.New("quic: handshake has not reached the point where this is possible")
	ErrTooManyConns = errors.New("quic: connection limit reached")
	ErrParam        = errors.New("quic: transport parameter is the engine's own or offered already")
)

// A VersionError says that no QUIC version is shared with the peer.
type VersionError struct {
	Ours, Theirs []wire.Version
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("quic: no common version: we offer %v, the peer %v", e.Ours, e.Theirs)
}

// violation builds the local error most frame handlers return.
func violation(code TransportErrorCode, ft wire.FrameType, format string, args ...any) *TransportError {
	return &TransportError{Code: code, FrameType: ft, Reason: fmt.Sprintf(format, args...)}
}

// ErrMigrationDisabled: the peer does not want to be reached from another
// address (disable_active_migration).
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
var ErrMigrationDisabled = errors.New("quic: peer has disabled migration")

// ErrNoConnID: the peer has issued no connection ID that a new path or address
// could use.
var ErrNoConnID = errors.New("quic: peer has issued no spare connection ID")
