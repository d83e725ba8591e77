package http3

import (
	"errors"
	"net/http"
)

// A retryError ended a request in a way that tells whether the server can have
// processed it.
type retryError struct {
	err error
	// untouched: nothing of the request's body was read.
	untouched bool
	// unprocessed: the server certainly did not process the request.
	unprocessed bool
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

func unwrapRetry(err error) error {
	if re, ok := err.(*retryError); ok {
		return re.err
	}
	return err
}

// errTooEarly is status 425: the server wants the request again, not as early
// data. https://www.rfc-editor.org/rfc/rfc8470#section-5.2
var errTooEarly = errors.New("http3: the server refuses the request as early data (425)")

// retryRequest returns the request to send again after err, if that is safe.
//
// "The client can treat requests rejected by the server as though they had
// never been sent at all, thereby allowing them to be retried later." / "Only
// idempotent actions such as GET, PUT, or DELETE can be safely retried"
// https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
func retryRequest(req *http.Request, err error, reused bool) (*http.Request, bool) {
	var re *retryError
	if !errors.As(err, &re) || req.Context().Err() != nil {
		return nil, false
	}
	if !re.unprocessed && !(reused && isIdempotent(req)) {
		return nil, false
	}
	if re.untouched || req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	next := *req
	next.Body = body
	return &next, true
}

// isIdempotent reports whether a request may be sent twice.
func isIdempotent(req *http.Request) bool {
	if isSafe(req.Method) || req.Method == "" {
		return true
	}
	for _, key := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, ok := req.Header[key]; ok {
			return true
		}
	}
	return req.Method == http.MethodPut || req.Method == http.MethodDelete
}
