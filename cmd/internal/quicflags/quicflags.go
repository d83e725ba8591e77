// Package quicflags holds the flags about the QUIC connections themselves,
// which servers and clients share.
package quicflags

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/admin"
	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/flowflag"
	"github.com/pquic-go/pquic/cmd/internal/pluginflag"
	"github.com/pquic-go/pquic/cmd/internal/qlogdir"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/hoststack"
)

// Options are the flags' values. A zero value means the engine's default.
type Options struct {
	CC              string
	StreamScheduler string
	InitialWindow   int
	FlowControl     uint64
	MaxUDPPayload   uint64
	IdleTimeout     time.Duration
	QlogDir         string
	QlogNames       string
	KeyLog          string
	Verbose         bool
	Admin           string
	Plugins         pluginflag.Options
	Flows           flowflag.Options
}

// Defaults are shown in the help; they are the engine's own.
func Defaults() Options {
	return Options{CC: "cubic", StreamScheduler: "rr", InitialWindow: 32, FlowControl: 512 << 10, IdleTimeout: 30 * time.Second, QlogNames: "drafts"}
}

// Schedulers are the names of the stream schedulers.
var Schedulers = []string{"rr", "prio", "sprio"}

// Flags returns the flags that set o.
func (o *Options) Flags() []cli.Flag {
	const quic, debug = "QUIC", "LOGS"
	list := []cli.Flag{
		cliutil.Flag{
			Name: "cc", Category: quic, Usage: "control congestion by `NAME`: " + cliutil.OneOf(congestion.Names()),
		}.Choice(&o.CC, congestion.Names()...),
		cliutil.Flag{
			Name: "stream-scheduler", Aliases: []string{"ssc"}, Category: quic,
			Usage: "let streams share a connection by `NAME`: rr (in turn), prio (by weight) or sprio (strictly by priority)",
		}.Choice(&o.StreamScheduler, Schedulers...),
		cliutil.Flag{
			Name: "initial-window", Aliases: []string{"c"}, Category: quic, Usage: "begin with a congestion window of `N` packets",
		}.Int(&o.InitialWindow, 2, 10000),
		cliutil.Flag{
			Name: "flow-control", Aliases: []string{"f"}, Category: quic,
			Usage: "initial flow control window of a stream, `SIZE` in bytes or with a unit such as 32KiB; a connection gets half as much again, both grow as needed",
		}.Size(&o.FlowControl, 4<<10, 1<<30),
		cliutil.Flag{
			Name: "max-udp-payload", Category: quic, Usage: "send and accept UDP payloads of at most `BYTES`; by default what the path carries",
		}.Size(&o.MaxUDPPayload, 1200, 65527),
		cliutil.Flag{
			Name: "idle-timeout", Category: quic, Usage: "give up a connection after `TIME` without a packet",
		}.Duration(&o.IdleTimeout, time.Millisecond, time.Hour),
		cliutil.Flag{
			Name: "qlog", Category: debug, Env: []string{"QLOGDIR"}, Usage: "write a qlog trace of each connection to `DIR`",
		}.String(&o.QlogDir),
		cliutil.Flag{
			Name: "qlog-names", Category: debug, Usage: "give the events the `NAMES` of the current drafts (drafts) or those that the diagrams of qvis read (qvis)",
		}.Choice(&o.QlogNames, "drafts", "qvis"),
		cliutil.Flag{
			Name: "keylog", Category: debug, Env: []string{"SSLKEYLOGFILE"}, Usage: "append TLS secrets to `FILE`, for Wireshark; whoever has it can read the connections",
		}.String(&o.KeyLog),
		cliutil.Flag{Name: "verbose", Aliases: []string{"v"}, Category: debug, Usage: "log every connection and request"}.Bool(&o.Verbose),
	}
	list = append(list, o.Plugins.Flags()...)
	list = append(list, o.Flows.Flags()...)
	return append(list, cliutil.Flag{
		Name: "admin", Category: pluginflag.Category,
		Usage: "let pquic-plugin ctl see the connections and change their plugins through the unix socket `PATH`, of mode 0600; whoever can open it can load code",
	}.String(&o.Admin))
}

// Logger returns a logger to w as Verbose asks for.
func (o *Options) Logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if o.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: shortTime}))
}

// shortTime leaves the date out of log lines, which systemd adds anyway.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

// A Setup is what came of the flags: a configuration to complete with TLS, files
// to close at the end, and the admin socket.
type Setup struct {
	Config *hoststack.Config
	KeyLog io.Writer       // nil: none
	Flows  *flowflag.Sinks // nil: none

	qlog   *qlogdir.Dir
	keyLog io.Closer
	admin  *admin.Server
}

// Setup opens the files the flags name.
func (o *Options) Setup(program string, log *slog.Logger) (*Setup, error) {
	s := &Setup{Config: &hoststack.Config{Core: core.Config{
		CongestionControl: o.CC,
		StreamScheduler:   o.StreamScheduler,
		InitialWindow:     o.InitialWindow,
		StreamWindow:      o.FlowControl,
		ConnWindow:        o.FlowControl + o.FlowControl/2,
		MaxUDPPayload:     uint16(o.MaxUDPPayload),
		MaxIdleTimeout:    o.IdleTimeout,
	}}}
	wanted := o.Plugins
	wanted.Specs = o.Flows.Plugins(wanted.Specs)
	attached, err := wanted.Load(log)
	if err != nil {
		return nil, err
	}
	s.Config.OnConn = attached.OnConn(nil)
	s.Config.Core.OnTransportParameters = attached.OnTransportParameters(nil)
	if o.KeyLog != "" {
		f, err := hoststack.OpenKeyLog(o.KeyLog)
		if err != nil {
			return nil, fmt.Errorf("--keylog: %w", systemError(err))
		}
		s.KeyLog, s.keyLog = f, f
	}
	if o.QlogDir != "" {
		var err error
		s.qlog, err = qlogdir.New(o.QlogDir, program, o.QlogNames == "qvis", func(err error) { log.Warn("a trace is incomplete", "error", err) })
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("--qlog: %w", systemError(err))
		}
		s.Config.Core.Qlog = s.qlog.Trace
	}
	if o.Admin != "" {
		if s.admin, err = admin.Listen(o.Admin, o.Plugins.Engine, log); err != nil {
			s.Close()
			return nil, fmt.Errorf("--admin %w", err)
		}
		attached.Watch(s.admin.Attached, s.admin.Detached)
		s.Config.OnConn = s.admin.OnConn(s.Config.OnConn)
	}
	if s.Flows, err = o.Flows.Open(log); err != nil {
		s.Close()
		return nil, err
	}
	s.Config.OnConn = s.Flows.OnConn(s.Config.OnConn)
	s.Config.Core.OnTransportParameters = s.Flows.OnTransportParameters(s.Config.Core.OnTransportParameters)
	if s.admin != nil {
		s.admin.Watch(s.Flows.Watch)
	}
	return s, nil
}

// systemError leaves out which package tells of a file's error.
func systemError(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file
	}
	return err
}

// Close closes the files and removes the admin socket. The connections that
// write to the files should have ended.
func (s *Setup) Close() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	s.Flows.Close()
	s.qlog.Close()
	if s.keyLog != nil {
		_ = s.keyLog.Close()
	}
}
