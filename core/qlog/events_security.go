package qlog

import (
	"strings"

	"github.com/pquic-go/pquic/core/mono"
)

// KeyUpdated: keys came into use; the keys themselves are not logged. keyType is
// one of {server,client}_{initial,handshake,0rtt,1rtt}_secret, phase the number
// of key updates before (1-RTT only) and trigger "tls", "remote_update" or
// "local_update".
func (t *Trace) KeyUpdated(now mono.Time, keyType string, phase uint64, trigger string) {
	if !t.begin(now, keyUpdated) {
		return
	}
	t.enc.string("key_type", keyType)
	if strings.HasSuffix(keyType, "_1rtt_secret") {
		t.enc.uint("key_phase", phase)
	}
	t.enc.optionalString("trigger", trigger)
	t.end()
}

// KeyDiscarded: keys are no longer available.
func (t *Trace) KeyDiscarded(now mono.Time, keyType string) {
	if !t.begin(now, keyDiscarded) {
		return
	}
	t.enc.string("key_type", keyType)
	t.end()
}
