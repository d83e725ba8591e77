// Package protoops names the steps of a protocol engine, its protocol
// operations, and lets plugins attach to them one connection at a time.
//
// The package knows neither QUIC nor bytecode. An engine declares operations
// with Define and gathers them in a Registry; whatever implements Pluglet (a
// Go function, a bytecode machine) may then be attached to them.
//
// # An operation reads as a call
//
// A call site is an ordinary method. Beside the native body stand a shim and
// one definition:
//
//	func (c *Conn) updateRTT(s rttSample) rttEstimate {
//		if c.ops.updateRTT.Attached() {
//			return c.ops.updateRTT.Run(s)
//		}
//		return c.updateRTTNative(s)
//	}
//
//	var opUpdateRTT = protoops.Define(protoops.Plain("update_rtt"),
//		protoops.Doc{Summary: "folds one sample into the estimate"},
//		func(c *Conn) *protoops.Slot[rttSample, rttEstimate] { return &c.ops.updateRTT },
//		(*Conn).updateRTTNative)
//
// With nothing attached the shim is one load, one predicted branch and one
// call frame. The argument and result structs are described by reflection when
// the program starts; nothing is described again on the way of a packet.
//
// A slice of a local array passed through a shim escapes to the heap even with
// nothing attached, because Run keeps its arguments while pluglets look at
// them. Argument structs therefore hold values, or point at what already lives
// on the heap.
//
// # Anchors
//
// Replace runs instead of the native body and at most one pluglet may do so.
// Pre and Post run before and after it, any number of them, and only observe.
// Extern adds an operation that the application alone calls.
//
// # The fault rule
//
// A pluglet fails by returning an error, by panicking, by answering outside a
// result's legal range or by running an operation that is already running. What
// it wrote through its Call is undone, the native body answers, no pluglet of
// its plugin starts again, and once the outermost chain has unwound the plugin
// is detached and the Subject is told by PlugletFault. Pluglets of the same
// plugin that were running it fail with it; what other plugins wrote meanwhile
// stands.
//
// # What is not here
//
//   - Locks: a Table belongs to one connection and a connection to one goroutine.
//   - A promise about memory a Go pluglet reaches through handles and byte
//     slices: Go code is trusted not to write there under Pre and Post. A
//     bytecode host hands out copies instead.
//   - Undoing what a native body changed while a pluglet ran it.
package protoops
