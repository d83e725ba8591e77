package protoops_test

import (
	"fmt"

	"github.com/pquic-go/pquic/protoops"
)

// A conn is an engine with one operation.
type conn struct {
	table protoops.Table
	ops   struct {
		ackDelay protoops.Slot[ackDelayArgs, uint64]
	}
}

type ackDelayArgs struct {
	SmoothedRTT uint64 `op:"smoothed_rtt" unit:"us" doc:"the path's smoothed round-trip time"`
}

func (c *conn) Operations() *protoops.Table { return &c.table }

func (c *conn) PlugletFault(err *protoops.PlugletError) { fmt.Println(err) }

// ackDelay decides how long an acknowledgment may wait. Operation "ack_delay".
func (c *conn) ackDelay(rtt uint64) uint64 {
	if c.ops.ackDelay.Attached() {
		return c.ops.ackDelay.Run(ackDelayArgs{rtt})
	}
	return c.ackDelayNative(ackDelayArgs{rtt})
}

func (c *conn) ackDelayNative(ackDelayArgs) uint64 { return 25000 }

var opAckDelay = protoops.Define(protoops.Plain("ack_delay"),
	protoops.Doc{Summary: "decides how long an acknowledgment may wait"},
	func(c *conn) *protoops.Slot[ackDelayArgs, uint64] { return &c.ops.ackDelay },
	(*conn).ackDelayNative)

var operations = protoops.NewRegistry(opAckDelay)

func Example() {
	c := new(conn)
	fmt.Println("native:", c.ackDelay(8000))

	quarter := protoops.PlugletFunc(func(call *protoops.Call) error {
		if call.Arg(0) == 0 {
			return fmt.Errorf("no RTT sample yet")
		}
		return call.SetResult(0, call.Arg(0)/4)
	})
	_, err := operations.Attach(c, &protoops.Plugin{
		Name:     "org.example.quarter",
		Bindings: []protoops.Binding{{Key: protoops.Plain("ack_delay"), Anchor: protoops.Replace, Pluglet: quarter}},
	})
	fmt.Println("attached:", err)
	fmt.Println("replaced:", c.ackDelay(8000))
	fmt.Println("after a fault:", c.ackDelay(0))
	fmt.Println("detached:", c.ackDelay(8000))
	// Output:
	// native: 25000
	// attached: <nil>
	// replaced: 2000
	// protoops: plugin "org.example.quarter" at replace/ack_delay: no RTT sample yet
	// after a fault: 25000
	// detached: 25000
}
