package cliutil

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes that mean the same in all programs. What lies between is each
// program's own.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2   // flags, arguments, environment
	ExitInterrupted = 130 // as shells count SIGINT
)

// An Error is an error with the exit code it means.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error without its code.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the code; it makes an Error a cli.ExitCoder.
func (e *Error) ExitCode() int { return e.Code }

// Exit gives err an exit code. A nil err stays nil.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Usagef is fmt.Errorf for what the user has to write differently.
func Usagef(format string, args ...any) error {
	return &Error{ExitUsage, fmt.Errorf(format, args...)}
}

// CodeOf returns the exit code an error means.
func CodeOf(err error) int {
	if err == nil {
		return ExitOK
	}
	var e interface{ ExitCode() int }
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return ExitFailure
}

// OneLine returns an error's text on one line.
func OneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
