//go:build !linux

package hoststack

import "github.com/pquic-go/pquic/core/connid"

// steer: without shared ports there is nothing to choose among.
func steer([]Datapath, connid.Steering) (Steering, error) { return SteerNone, nil }
