//go:build !linux

package hoststack

import "testing"

func fuzzReadControl(f *testing.F) { f.Skip("no control messages on this system's datapath") }
