package protoops

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknownOp: neither the registry nor an attached plugin has the operation.
	ErrUnknownOp = errors.New("no such operation")
	// ErrReplaced: another pluglet already replaces the operation.
	ErrReplaced = errors.New("operation already replaced")
	// ErrDeclared: the operation to declare exists already.
	ErrDeclared = errors.New("operation already declared")
	// ErrRunning: pluglets cannot attach others.
	ErrRunning = errors.New("a pluglet is running")
	// ErrAttached: a plugin of this name is attached already.
	ErrAttached = errors.New("plugin already attached")
	// ErrAnchor: the anchor does not exist or does not suit the operation.
	ErrAnchor = errors.New("invalid anchor")
	// ErrName: the name of a plugin or operation is not acceptable.
	ErrName = errors.New("invalid name")
	// ErrNoPluglet: a binding without a pluglet.
	ErrNoPluglet = errors.New("binding has no pluglet")

	// ErrLoop: the operation is already running and may not re-enter itself.
	ErrLoop = errors.New("operation re-enters itself")
	// ErrReadOnly: a pluglet that only observes tried to change something.
	ErrReadOnly = errors.New("pluglet may only observe")
	// ErrNotWritable: the field is not one that plugins may write.
	ErrNotWritable = errors.New("field is read-only")
	// ErrRange: the value lies outside the legal range.
	ErrRange = errors.New("value out of range")
	// ErrType: the argument, result or field is of another kind or type.
	ErrType = errors.New("wrong type")
	// ErrIndex: there is no argument, result or field of that index.
	ErrIndex = errors.New("index out of range")
	// ErrNotRunning: a Call was used after its pluglet returned.
	ErrNotRunning = errors.New("call is over")
	// ErrJournalFull: one chain wrote more state than its journal may hold.
	ErrJournalFull = errors.New("too many journaled writes")
	// ErrNoNative: the operation has no native body.
	ErrNoNative = errors.New("operation has no native body")
	// ErrExternOnly: the operation is the application's to call.
	ErrExternOnly = errors.New("operation is for the application only")
	// ErrTooMany: more arguments than a declared operation takes.
	ErrTooMany = errors.New("too many arguments")
	// ErrFailed: the pluglet's plugin has failed and is being detached.
	ErrFailed = errors.New("plugin has failed")
)

// An AttachError says why a plugin could not be attached. Nothing of it was.
type AttachError struct {
	Plugin string // the plugin that was to be attached
	Key    Key    // the binding at fault, if one is
	Anchor Anchor
	Holder string // for ErrReplaced and ErrDeclared: who has the operation already
	Err    error
}

func (e *AttachError) Error() string {
	s := fmt.Sprintf("protoops: plugin %q", e.Plugin)
	if e.Key != (Key{}) {
		s += fmt.Sprintf(" at %s/%s", e.Anchor, e.Key)
	}
	s += ": " + e.Err.Error()
	if e.Holder != "" {
		s += fmt.Sprintf(" by plugin %q", e.Holder)
	}
	return s
}

func (e *AttachError) Unwrap() error { return e.Err }

// A PlugletError is the failure of one pluglet.
type PlugletError struct {
	Plugin string
	Key    Key
	Anchor Anchor
	Err    error
	// Owned: the plugin owns something negotiated with the peer, so the
	// connection cannot go on without it.
	Owned bool
}

func (e *PlugletError) Error() string {
	return fmt.Sprintf("protoops: plugin %q at %s/%s: %v", e.Plugin, e.Anchor, e.Key, e.Err)
}

func (e *PlugletError) Unwrap() error { return e.Err }

// A PanicError is the Err of a pluglet that panicked.
type PanicError struct {
	Value any
	Stack []byte // as runtime/debug.Stack prints it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value of the panic if that was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
