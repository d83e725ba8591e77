package core

import (
	"slices"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

const (
	// maxPluginTimers bounds the instants that plugins wait for.
	maxPluginTimers = 64
	minPluginTimer  = 100 * time.Microsecond
)

// SetPluginTimer asks for event "plugin_timer" at time t, beside the instants
// asked for already: the event does not say whose it is, so a plugin compares
// the time with what it waits for, and ignores the others'. A time less than
// 100 us ahead is moved there, so that nobody keeps the engine busy. Of more than
// 64 instants the last are forgotten; it reports whether t is remembered.
func (c *Conn) SetPluginTimer(t mono.Time) bool {
	if c.v.State >= StateClosing {
		return false
	}
	t = max(t, c.now.Add(minPluginTimer))
	list := c.plug.timers
	i, dup := slices.BinarySearch(list, t)
	if !dup {
		if i == maxPluginTimers {
			return false
		}
		if len(list) == maxPluginTimers {
			list = list[:maxPluginTimers-1]
		}
		c.plug.timers = slices.Insert(list, i, t)
	}
	c.timers[timerPlugin] = c.plug.timers[0]
	c.endpoint.schedule(c)
	return true
}

// pluginTimersDue runs the event for what is due.
func (c *Conn) pluginTimersDue(now mono.Time) {
	n := 0
	for n < len(c.plug.timers) && c.plug.timers[n] <= now {
		n++
	}
	c.plug.timers = slices.Delete(c.plug.timers, 0, n)
	if n > 0 {
		c.pluginTimer(NoArg{})
	}
	if len(c.plug.timers) > 0 {
		c.timers[timerPlugin] = c.plug.timers[0]
	}
}

// pluginTimer tells that a time a plugin has asked for has come. Event "plugin_timer".
func (c *Conn) pluginTimer(a NoArg) {
	if c.ops.pluginTimer.Attached() {
		c.ops.pluginTimer.Run(a)
	}
}

var opPluginTimer = protoops.Define(protoops.Key{Name: "plugin_timer", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A time a plugin has asked for has come",
		Fires:   "once per instant, whichever plugins asked for it",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.pluginTimer },
	nil)
