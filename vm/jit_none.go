//go:build !linux || !(amd64 || arm64) || nojit

package vm

import "errors"

var errNoJIT = errors.New("vm: this build has no compiler to machine code")

func jitAvailable() error { return errNoJIT }

func compileJIT(*Module, []int32) (engine, error) { return nil, errNoJIT }
