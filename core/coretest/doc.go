// Package coretest runs whole QUIC endpoints over simulated networks in one
// goroutine, on virtual time.
//
// A Sim is a clock, a queue of events and the hosts it drives. Hosts hold
// core.Endpoints; their interfaces are joined by Links that delay, drop,
// reorder, duplicate, corrupt, mark and shrink what passes. All chance comes
// from one seed: the same seed gives the same run, datagram for datagram, and
// a failing test prints the seed with the command that repeats it.
//
// Most tests start from a World, which is one client and one server with a link
// each way:
//
//	w := coretest.NewWorld(t, coretest.Scenario{
//		Up:   coretest.Conditions{Rate: 10e6, Delay: 15 * time.Millisecond, QueuePackets: 25},
//		Down: coretest.Conditions{Rate: 10e6, Delay: 15 * time.Millisecond, QueuePackets: 25, Loss: 0.02},
//	})
//	c := w.Dial()
//	c.Request(coretest.Request{Down: 10 << 20})
//	w.Wait(time.Minute)
//	w.Finish()
//
// The applications check every byte they receive. Finish ends what is open and
// checks what no scenario may break: nothing in flight, no stream or connection
// ID held, no timer that spins.
//
// # Environment
//
//   - PQUIC_SEED: the seed of every Sim whose test does not choose one, and the
//     first seed of random scenarios
//   - PQUIC_SCENARIOS: how many random scenarios run
//   - PQUIC_QLOG: a directory that receives the qlog of every connection
//   - PQUIC_TRACE: if set, every datagram is written to the test's log
//
// # To find X, open Y
//
//   - sim.go: the clock and the event loop
//   - conditions.go, link.go: what a network does to datagrams
//   - host.go: an endpoint, its interfaces and its socket
//   - nat.go: address translation that rebinds
//   - content.go, app.go, app_stream.go: the applications
//   - certs.go: certificates and configurations
//   - world.go: one client, one server
//   - check.go: the invariants
//   - random.go: random scenarios
package coretest
