//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyReload has c told when the user asks to look for new certificates.
func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
