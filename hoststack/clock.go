package hoststack

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// clockBase anchors the monotonic clock at the wall clock, once per process.
// time.Since reads only the monotonic part, so steps of the wall clock never
// reach an engine.
var (
	clockBase     = time.Now()
	clockBaseMono = mono.FromTime(clockBase)
)

// now reads the clock.
func now() mono.Time {
	return clockBaseMono + mono.Time(time.Since(clockBase))
}

// timeOf converts t to a time.Time that compares by the monotonic clock. Never
// becomes the zero Time, which package net understands as "no deadline".
func timeOf(t mono.Time) time.Time {
	if t == mono.Never {
		return time.Time{}
	}
	return clockBase.Add(t.Sub(clockBaseMono))
}
