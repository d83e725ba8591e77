// Package hqrt makes HTTP/0.9 over QUIC an http.RoundTripper, so that programs
// need not tell it from HTTP/3.
package hqrt

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// A Transport sends requests over the connections that it returns for a
// "host:port".
type Transport func(ctx context.Context, addr string) (http3.Conn, error)

// RoundTrip asks for a path. As there is no status, the response is always 200:
// if the server has no such file it resets the stream, which the first read
// tells.
func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		return nil, fmt.Errorf("HTTP/0.9 has no %s, only GET", req.Method)
	}
	conn, err := t(req.Context(), Authority(req.URL))
	if err != nil {
		return nil, err
	}
	body, err := hq.Get(req.Context(), conn, req.URL.RequestURI())
	if err != nil {
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/0.9", ProtoMajor: 0, ProtoMinor: 9,
		Header: make(http.Header), Body: body, ContentLength: -1, Request: req,
	}, nil
}

// Authority is the "host:port" a URL is fetched from.
func Authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
