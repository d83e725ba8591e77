package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"syscall"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/download"
	"github.com/pquic-go/pquic/cmd/internal/reason"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// explain says why a URL could not be fetched; its exit code comes with it.
func (c *connector) explain(err error) error {
	var connect *reason.ConnectError
	var file *download.FileError
	var status *download.StatusError
	var length *download.LengthError
	var stream *http3.StreamError
	switch {
	case errors.As(err, &connect) && connect.Trust:
		return cliutil.Exit(exitTrust, connect)
	case errors.As(err, &connect):
		return cliutil.Exit(exitNetwork, connect)
	case errors.As(err, &file):
		return cliutil.Exit(exitFile, fileReason(file.Err))
	case errors.As(err, &status):
		return cliutil.Exit(exitStatus, status)
	case errors.As(err, &stream):
		return c.explainStream(stream)
	}
	if lost := c.explainLoss(err); errors.As(lost, &connect) && connect.Trust {
		return cliutil.Exit(exitTrust, lost)
	} else if lost != nil {
		return cliutil.Exit(exitNetwork, lost)
	}
	if errors.As(err, &length) {
		return cliutil.Exit(exitNetwork, length)
	}
	return cliutil.Exit(cliutil.ExitFailure, withoutURL(err))
}

// explainStream says why a request was aborted.
func (c *connector) explainStream(e *http3.StreamError) error {
	switch {
	case c.o.alpn == hq.NextProto && uint64(e.Code) == hq.CodeNotFound:
		return cliutil.Exit(exitStatus, errors.New("the server has no such file: it reset the stream"))
	case c.o.alpn == hq.NextProto:
		return cliutil.Exit(exitStatus, fmt.Errorf("the server reset the stream with code %d", uint64(e.Code)))
	}
	return cliutil.Exit(exitNetwork, fmt.Errorf("the server aborted the response: %v", e.Code))
}

// explainLoss says how a connection ended; nil if it did not.
func (c *connector) explainLoss(err error) error {
	var closed *http3.ConnError
	if errors.As(err, &closed) && closed.Remote {
		if closed.Reason != "" {
			return fmt.Errorf("the server closed the connection: %v: %s", closed.Code, closed.Reason)
		}
		return fmt.Errorf("the server closed the connection: %v", closed.Code)
	}
	return reason.Loss(err, c.o.quic.IdleTimeout)
}

// fileReason words the system's errors about files.
func fileReason(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errors.New("whoever read standard output has gone")
	}
	var pathError *fs.PathError
	if !errors.As(err, &pathError) {
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: the disk is full", pathError.Path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: no permission to write", pathError.Path)
	}
	return err
}

// withoutURL leaves out the URL that package net/http puts in front, as it is
// told anyway.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
