// Package hoststack runs QUIC engines: it owns the sockets, the clock and the
// goroutines that package core does without, and offers applications a
// blocking API in the shape of package net.
//
// # Workers
//
// A [worker] is one goroutine that owns a datapath and a core.Endpoint with
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
//	the loop                         worker.go
//	what an application calls        listener.go, dial.go, conn.go, stream.go
//	limits and counters              limits.go, stats.go
//	certificates                     certstore.go, selfsigned.go, keylog.go
//
// [worker]: see worker.go
package hoststack
