package main

import (
	"slices"
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

const (
	alpnH3 = http3.NextProtoH3
	alpnHQ = hq.NextProto
)

// A testCase is what an endpoint does in a test case beyond its defaults.
type testCase struct {
	names []string // those that ask the same of us
	alpn  string
	roles []string // empty: both

	retry      bool // server: every client proves its address
	v2         bool // prefer QUIC version 2
	preferred  bool // server: invite clients to another address
	early      bool // 0-RTT
	resume     bool // client: the first file on one connection, the others on a second
	each       bool // client: a connection for each file
	updateKeys bool // client
	migrate    bool // client: move to another local port
	chacha20   bool // client: offer only this cipher suite
}

// The runner's test cases. Where TESTCASE has another value than the test's
// name, both are known.
var cases = []testCase{
	{names: []string{
		"handshake", "longrtt", "transfer", "multiplexing", "blackhole", "ecn", "amplificationlimit", "transferloss", "transfercorruption",
		"ipv6", "rebind-port", "rebind-addr", "goodput", "crosstraffic",
	}, alpn: alpnHQ},
	{names: []string{"multiconnect", "handshakeloss", "handshakecorruption"}, alpn: alpnHQ, each: true},
	{names: []string{"chacha20"}, alpn: alpnHQ, chacha20: true},
	{names: []string{"keyupdate"}, alpn: alpnHQ, updateKeys: true},
	{names: []string{"retry"}, alpn: alpnHQ, retry: true},
	{names: []string{"resumption"}, alpn: alpnHQ, resume: true},
	{names: []string{"zerortt"}, alpn: alpnHQ, resume: true, early: true},
	{names: []string{"http3"}, alpn: alpnH3},
	{names: []string{"v2"}, alpn: alpnHQ, v2: true},
	{names: []string{"connectionmigration"}, alpn: alpnHQ, preferred: true},
	{names: []string{"migration"}, alpn: alpnHQ, roles: []string{"client"}, migrate: true},
}

func caseNames() []string {
	var names []string
	for _, c := range cases {
		names = append(names, c.names...)
	}
	return names
}

func findCase(name, role string) (*testCase, bool) {
	for i := range cases {
		c := &cases[i]
		if slices.Contains(c.names, name) {
			supported := len(c.roles) == 0 || slices.Contains(c.roles, role)
			return c, supported && (role == "server" || !c.chacha20 || canChooseCipherSuite)
		}
	}
	return nil, false
}

// patience is how long a client works on a test case. The runner ends one
// itself, at different times.
const patience = 5 * time.Minute

// configure sets what a test case asks for.
func (t *testCase) configure(c *hoststack.Config) {
	c.Core.Versions = []wire.Version{wire.Version1}
	if t.v2 {
		c.Core.Versions = []wire.Version{wire.Version2, wire.Version1}
	}
	// Under 30 % loss a handshake may take long; giving up would count as failure.
	c.Core.HandshakeTimeout = patience
	c.Core.Allow0RTT, c.Early = t.early, t.early
	if t.retry {
		c.Limits.RetryAbove = -1
	}
}
