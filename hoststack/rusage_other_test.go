//go:build !unix

package hoststack

import "time"

// cpuTime is not measured here.
func cpuTime() time.Duration { return 0 }
