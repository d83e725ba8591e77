package plugins

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

var (
	// ErrTooLate: the plugin owns frame types or transport parameters, or
	// depends on being negotiated, and the connection's transport parameters
	// have been composed already.
	ErrTooLate = errors.New("too late: the plugin has to be attached before the handshake")
	// ErrConflict: the plugin cannot be attached beside another.
	ErrConflict = errors.New("conflicts")
	// ErrMissing: a plugin that this one requires is not attached.
	ErrMissing = errors.New("requires another plugin")
	// ErrFrameType: another plugin owns a frame type.
	ErrFrameType = errors.New("frame type is taken")
	// ErrParameter: another plugin owns a transport parameter.
	ErrParameter = errors.New("transport parameter is taken")
	// ErrDetached: the plugin is no longer attached.
	ErrDetached = errors.New("plugin is detached")
	// ErrFailure: a pluglet returned something other than 0.
	ErrFailure = errors.New("pluglet returned an error")
)

// A LoadError says why a plugin cannot be used at all.
type LoadError struct {
	File   string
	Plugin string // its name, once known
	Err    error  // *vm.LoadError, *vm.VerifyError, *CapabilityError or other
}

func (e *LoadError) Error() string {
	s := e.File
	if e.Plugin != "" {
		s += " (" + e.Plugin + ")"
	}
	return fmt.Sprintf("plugin %s: %v", s, e.Err)
}

func (e *LoadError) Unwrap() error { return e.Err }

// A CapabilityError lists what the code does and the manifest does not declare.
type CapabilityError struct {
	Functions []string // host functions: PQ_USES
	Fields    []string // fields it writes: PQ_WRITES
	Frames    []uint64 // frame types: PQ_FRAME
	Params    []uint64 // transport parameters: PQ_PARAMETER
}

func (e *CapabilityError) Error() string {
	var parts []string
	if len(e.Functions) > 0 {
		parts = append(parts, "calls "+strings.Join(e.Functions, ", ")+": add PQ_USES("+strings.Join(e.Functions, ", ")+")")
	}
	if len(e.Fields) > 0 {
		parts = append(parts, "writes "+strings.Join(e.Fields, ", ")+": add PQ_WRITES("+strings.Join(e.Fields, ", ")+")")
	}
	for _, t := range e.Frames {
		parts = append(parts, fmt.Sprintf("handles frames of type 0x%x: add PQ_FRAME(0x%x, …)", t, t))
	}
	for _, t := range e.Params {
		parts = append(parts, fmt.Sprintf("handles transport parameter 0x%x: add PQ_PARAMETER(0x%x)", t, t))
	}
	return "the code does what its manifest does not declare: it " + strings.Join(parts, "; ")
}

// An AttachError says why a plugin could not be attached to a connection.
// Nothing of it was.
type AttachError struct {
	Plugin string
	Other  string // the plugin in the way, if one is
	Err    error
}

func (e *AttachError) Error() string {
	s := fmt.Sprintf("plugin %s: %v", e.Plugin, e.Err)
	if e.Other != "" {
		s += ": " + e.Other
	}
	return s
}

func (e *AttachError) Unwrap() error { return e.Err }

// An OptionError says what is wrong with an option that a user gave.
type OptionError struct {
	Plugin, Option, Value string
	Err                   error
}

func (e *OptionError) Error() string {
	if e.Value != "" {
		return fmt.Sprintf("plugin %s, option %s=%s: %v", e.Plugin, e.Option, clip(e.Value), e.Err)
	}
	return fmt.Sprintf("plugin %s, option %s: %v", e.Plugin, e.Option, e.Err)
}

func (e *OptionError) Unwrap() error { return e.Err }

// Explain describes the failure of a pluglet in full: plugin, operation,
// instruction and source line.
func Explain(err error) string {
	var e *protoops.PlugletError
	var f *vm.Fault
	if !errors.As(err, &e) {
		return err.Error()
	}
	s := fmt.Sprintf("plugin %s, %s/%s", e.Plugin, e.Anchor, e.Key)
	if !errors.As(err, &f) {
		return s + ": " + e.Err.Error()
	}
	return s + ": " + f.Error()
}
