package protoops

import (
	"slices"
	"time"
)

// sampleEvery is the period, in calls, with which a pluglet's time is taken: two
// clock readings cost more than most pluglets.
const sampleEvery = 1024

// PlugletStats counts what one pluglet did on one connection.
type PlugletStats struct {
	Key          Key
	Anchor       Anchor
	Calls        uint64
	SampledCalls uint64
	SampledTime  time.Duration // of the sampled calls, operations they ran included
}

func (s *PlugletStats) sample(ns int64) {
	s.SampledCalls++
	s.SampledTime += time.Duration(ns)
}

// counted returns the statistics without the calls still to come.
func (k *hook) counted() PlugletStats {
	s := k.stats
	s.Calls -= uint64(k.express)
	return s
}

// An Attachment is a plugin on one connection.
type Attachment struct {
	plugin   *Plugin
	table    *Table
	hooks    []*hook
	fault    *PlugletError
	detached bool
}

// Plugin returns what was attached.
func (a *Attachment) Plugin() *Plugin { return a.plugin }

// Attached reports whether the plugin is still attached.
func (a *Attachment) Attached() bool { return !a.detached }

// Fault returns the first failure of one of the plugin's pluglets, or nil.
func (a *Attachment) Fault() *PlugletError { return a.fault }

// Stats returns the statistics of each pluglet in the order of the plugin's
// bindings. They stay readable after a detach.
func (a *Attachment) Stats() []PlugletStats {
	s := make([]PlugletStats, len(a.hooks))
	for i, k := range a.hooks {
		s[i] = k.counted()
	}
	return s
}

// detach takes the pluglets off, at once. Nothing may be running.
func (a *Attachment) detach() {
	if a.detached {
		return
	}
	a.detached = true
	for _, k := range a.hooks {
		k.site.remove(k)
		if k.site.empty() {
			k.release()
		}
	}
	t := a.table
	t.attachments = slices.DeleteFunc(t.attachments, func(b *Attachment) bool { return a == b })
	if a.plugin.Detached != nil {
		a.plugin.Detached(a)
	}
}
