package http3

import (
	"context"
	"crypto/tls"
	"errors"
)

func (t *Transport) dialUDP(ctx context.Context, addr string, cfg *tls.Config) (Conn, error) {
	return nil, errors.New("http3: Transport.Dial is nil")
}
