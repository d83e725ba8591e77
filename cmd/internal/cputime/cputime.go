// Package cputime tells how much processor time the process has used.
package cputime

import "time"

// Used returns the user and system time of the process's threads so far; 0
// where the system does not tell.
func Used() time.Duration { return used() }
