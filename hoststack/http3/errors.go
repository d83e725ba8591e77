package http3

import (
	"errors"
	"fmt"
	"strconv"
)

// An ErrCode is an HTTP/3 or QPACK error code: why a stream or a connection
// was ended. It is deliberately not an error; see [StreamError], [ConnError].
type ErrCode uint64

// The error codes of HTTP/3, HTTP datagrams and QPACK.
//
// https://www.rfc-editor.org/rfc/rfc9114#section-8.1
// https://www.rfc-editor.org/rfc/rfc9297#section-5.2
// https://www.rfc-editor.org/rfc/rfc9204#section-6
const (
	CodeNoError              ErrCode = 0x100
	CodeGeneralProtocolError ErrCode = 0x101
	CodeInternalError        ErrCode = 0x102
	CodeStreamCreationError  ErrCode = 0x103
	CodeClosedCriticalStream ErrCode = 0x104
	CodeFrameUnexpected      ErrCode = 0x105
	CodeFrameError           ErrCode = 0x106
	CodeExcessiveLoad        ErrCode = 0x107
	CodeIDError              ErrCode = 0x108
	CodeSettingsError        ErrCode = 0x109
	CodeMissingSettings      ErrCode = 0x10a
	CodeRequestRejected      ErrCode = 0x10b
	CodeRequestCancelled     ErrCode = 0x10c
	CodeRequestIncomplete    ErrCode = 0x10d
	CodeMessageError         ErrCode = 0x10e
	CodeConnectError         ErrCode = 0x10f
	CodeVersionFallback      ErrCode = 0x110

	CodeDatagramError ErrCode = 0x33

	CodeQPACKDecompressionFailed ErrCode = 0x200
	CodeQPACKEncoderStreamError  ErrCode = 0x201
	CodeQPACKDecoderStreamError  ErrCode = 0x202
)

var errCodeNames = map[ErrCode]string{
	CodeNoError:                  "H3_NO_ERROR",
	CodeGeneralProtocolError:     "H3_GENERAL_PROTOCOL_ERROR",
	CodeInternalError:            "H3_INTERNAL_ERROR",
	CodeStreamCreationError:      "H3_STREAM_CREATION_ERROR",
	CodeClosedCriticalStream:     "H3_CLOSED_CRITICAL_STREAM",
	CodeFrameUnexpected:          "H3_FRAME_UNEXPECTED",
	CodeFrameError:               "H3_FRAME_ERROR",
	CodeExcessiveLoad:            "H3_EXCESSIVE_LOAD",
	CodeIDError:                  "H3_ID_ERROR",
	CodeSettingsError:            "H3_SETTINGS_ERROR",
	CodeMissingSettings:          "H3_MISSING_SETTINGS",
	CodeRequestRejected:          "H3_REQUEST_REJECTED",
	CodeRequestCancelled:         "H3_REQUEST_CANCELLED",
	CodeRequestIncomplete:        "H3_REQUEST_INCOMPLETE",
	CodeMessageError:             "H3_MESSAGE_ERROR",
	CodeConnectError:             "H3_CONNECT_ERROR",
	CodeVersionFallback:          "H3_VERSION_FALLBACK",
	CodeDatagramError:            "H3_DATAGRAM_ERROR",
	CodeQPACKDecompressionFailed: "QPACK_DECOMPRESSION_FAILED",
	CodeQPACKEncoderStreamError:  "QPACK_ENCODER_STREAM_ERROR",
	CodeQPACKDecoderStreamError:  "QPACK_DECODER_STREAM_ERROR",
}

// String returns the RFC's name of the code, or its number in hexadecimal.
func (c ErrCode) String() string {
	if name, ok := errCodeNames[c]; ok {
		return name
	}
	return "0x" + strconv.FormatUint(uint64(c), 16)
}

// A StreamError ended one request: the stream was reset, or the message on it
// was malformed.
type StreamError struct {
	Code   ErrCode
	Remote bool   // the peer ended the stream
	Reason string // what was wrong, if this end found it
}

func (e *StreamError) Error() string {
	return describe("stream", e.Code, e.Remote, e.Reason)
}

// Is reports whether target is a StreamError of the same code, so that
// errors.Is(err, &StreamError{Code: CodeRequestRejected}) works for both ends.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && t.Code == e.Code
}

// A ConnError ended a connection and all requests on it.
type ConnError struct {
	Code   ErrCode
	Remote bool   // the peer closed the connection
	Reason string // the reason phrase sent with the code
}

func (e *ConnError) Error() string {
	return describe("connection", e.Code, e.Remote, e.Reason)
}

// Is reports whether target is a ConnError of the same code.
func (e *ConnError) Is(target error) bool {
	t, ok := target.(*ConnError)
	return ok && t.Code == e.Code
}

func describe(what string, code ErrCode, remote bool, reason string) string {
	by := ""
	if remote {
		by = " by the peer"
	}
	s := fmt.Sprintf("http3: %s ended%s with %v", what, by, code)
	if reason != "" {
		s += ": " + reason
	}
	return s
}

// CodeOf returns the code of the stream or connection error in err's chain.
func CodeOf(err error) (ErrCode, bool) {
	var se *StreamError
	if errors.As(err, &se) {
		return se.Code, true
	}
	var ce *ConnError
	if errors.As(err, &ce) {
		return ce.Code, true
	}
	return 0, false
}

func connErrorf(code ErrCode, format string, args ...any) *ConnError {
	return &ConnError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

func streamErrorf(code ErrCode, format string, args ...any) *StreamError {
	return &StreamError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// malformed is the error of a request or response that breaks HTTP's rules.
//
// "Malformed requests or responses that are detected MUST be treated as a
// stream error of type H3_MESSAGE_ERROR."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
func malformed(format string, args ...any) *StreamError {
	return streamErrorf(CodeMessageError, "malformed message: "+format, args...)
}
