package core_test

import (
	"crypto/tls"

	"github.com/pquic-go/pquic/core"
)

// withSessions lets a client resume.
func withSessions(c *core.Config) { c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(8) }
