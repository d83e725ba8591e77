// Package hoststack runs QUIC engines: it owns the sockets, the clock and the
// goroutines that package core does without, and offers applications a
// blocking API in the shape of package net.
//
// # Workers
//
// A worker is one goroutine that owns a datapath and a core.Endpoint with
// all its connections. It runs every batch to completion: receive, feed the
// engine, fire due timers, send. Connections never change workers; their
// connection IDs name the owner, and a small program in the kernel steers
// datagrams by it.
//
// While a worker sleeps, an application goroutine may claim it for the length
// of one call and do the worker's work in place. A write on an idle connection
// therefore reaches the wire without a goroutine switch. While a worker runs,
// applications leave notes in lock-free lists it reads once per batch.
//
// # To find X, open Y
//
//	how datagrams come and go        datapath.go, udp_linux.go, udp_plain.go
//	how they reach the right worker  steer_linux.go, handover.go
//	the loop                         worker.go, inbox.go, spin.go
//	how timers are kept              finetimer_linux.go, clock.go
//	where applications sleep         waiter.go
//	what an application calls        listener.go, dial.go, conn.go, conn_hold.go, conn_migrate.go, stream.go
//	limits, keys and counters        limits.go, keys.go, stats.go
//	certificates                     certstore.go, selfsigned.go, keylog.go
//
// # Limitations
//
//   - Only Linux has the batched datapath. Elsewhere each datagram takes a
//     system call, there are no ECN marks, the system chooses the source
//     address, and a Listener has one worker.
//   - Functions given to Conn.Do and Config.OnConn run as the worker's owner:
//     they must not call this package, which could wait for that very worker.
//   - Listener.Close ends the closing state of its connections early, since
//     with their socket nothing can answer late packets any more.
package hoststack
