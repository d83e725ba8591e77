package qlog

import (
	"strings"

	"github.com/pquic-go/pquic/core/mono"
)

// KeyUpdated: keys came into use; the keys themselves are not logged. keyType is
// one of {server,client}_{initial,handshake,0rtt,1rtt}_secret, or the level
// alone ("1rtt") for both directions, which are two events. phase is the number
// of key updates before (1-RTT only), trigger "tls", "remote_update",
// "local_update" or empty.
func (t *Trace) KeyUpdated(now mono.Time, keyType string, phase uint64, trigger string) {
	t.keyEvent(now, keyUpdated, keyType, phase, trigger)
}

// KeyDiscarded: keys are no longer available; keyType is that of KeyUpdated.
func (t *Trace) KeyDiscarded(now mono.Time, keyType string) {
	t.keyEvent(now, keyDiscarded, keyType, 0, "")
}

func (t *Trace) keyEvent(now mono.Time, ev event, keyType string, phase uint64, trigger string) {
	if server, client, ok := bothKeys(keyType); ok {
		t.oneKey(now, ev, client, phase, trigger)
		t.oneKey(now, ev, server, phase, trigger)
		return
	}
	t.oneKey(now, ev, keyType, phase, trigger)
}

// bothKeys returns the key types of a level.
func bothKeys(level string) (server, client string, ok bool) {
	switch level {
	case "initial":
		return "server_initial_secret", "client_initial_secret", true
	case "handshake":
		return "server_handshake_secret", "client_handshake_secret", true
	case "1rtt":
		return "server_1rtt_secret", "client_1rtt_secret", true
	}
	return "", "", false
}

func (t *Trace) oneKey(now mono.Time, ev event, keyType string, phase uint64, trigger string) {
	if !t.begin(now, ev) {
		return
	}
	if keyType == "0rtt" { // only clients send 0-RTT packets
		keyType = "client_0rtt_secret"
	}
	t.enc.string("key_type", keyType)
	if ev == keyUpdated && strings.HasSuffix(keyType, "_1rtt_secret") {
		t.enc.uint("key_phase", phase)
	}
	switch trigger {
	case "tls", "remote_update", "local_update":
		t.enc.string("trigger", trigger)
	}
	t.end()
}
