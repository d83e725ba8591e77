package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/protoops"
)

// MaxObject bounds the object file of a plugin, in bytes, as for files that are
// named on the command line.
const MaxObject = 8 << 20

// Bounds of one line. A request carries an object in base64.
const (
	maxRequest = MaxObject/3*4 + 64<<10
	maxReply   = 1 << 20
)

// What a Request may ask for.
const (
	OpList   = "list"   // the connections and their plugins
	OpAttach = "attach" // a plugin to connections
	OpDetach = "detach" // a plugin from connections
	OpStats  = "stats"  // what the pluglets did
)

var ops = []string{OpList, OpAttach, OpDetach, OpStats}

// All as a Request's Connection means every connection.
const All = "all"

// A Request asks for one thing.
type Request struct {
	Op string `json:"op"`
	// Connection is a number or an original destination connection ID, as list
	// shows them, or all; "" is all.
	Connection string `json:"connection,omitempty"`
	// Plugin is the name of a plugin; or, with an Object, of its file, for errors.
	Plugin string `json:"plugin,omitempty"`
	// Options are values for the options of the plugin to attach.
	Options map[string]string `json:"options,omitempty"`
	// Object is the ELF file of the plugin to attach; none means one that is
	// compiled in.
	Object []byte `json:"object,omitempty"`
}

// A Reply has one of these.
type Reply struct {
	Connection *Connection `json:"connection,omitempty"`
	Pluglet    *Pluglet    `json:"pluglet,omitempty"`
	End        *End        `json:"end,omitempty"`
	Error      *Error      `json:"error,omitempty"`
}

// A Connection is a line of list, or what attach or detach did to one.
type Connection struct {
	Number  uint64   `json:"number"` // counts the program's connections, from 1
	ID      string   `json:"odcid"`  // original destination connection ID, in hexadecimal
	Remote  string   `json:"remote,omitempty"`
	ALPN    string   `json:"alpn,omitempty"`
	SNI     string   `json:"sni,omitempty"`
	Plugins []Plugin `json:"plugins,omitempty"`
	Error   *Error   `json:"error,omitempty"` // why nothing was attached or detached
}

// A Plugin is one on a connection.
type Plugin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Engine  string `json:"engine"`
	Offered bool   `json:"offered,omitempty"` // not attached yet: the peer has to have it too
	Calls   uint64 `json:"calls"`
	Heap    uint32 `json:"heap_bytes"`
}

// A Pluglet says what one pluglet did on the connections asked for: calls and
// times of where it is attached, and the faults since the program started, or
// since the connection did.
type Pluglet struct {
	Plugin      string `json:"plugin"`
	Section     string `json:"section"`
	Connections int    `json:"connections"`
	Calls       uint64 `json:"calls"`
	Sampled     uint64 `json:"sampled_calls"`
	SampledTime int64  `json:"sampled_ns"` // of the sampled calls, nanoseconds
	Faults      uint64 `json:"faults"`
}

// An End is the last Reply to a request that was understood.
type End struct {
	Connections int    `json:"connections"` // listed, changed or measured
	Refused     int    `json:"refused,omitempty"`
	Plugin      string `json:"plugin,omitempty"`
	Version     string `json:"version,omitempty"`
}

// An Error is why a request, or a part of it, was not done.
type Error struct {
	Code string `json:"code"`
	Text string `json:"text"` // one line
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the error of package plugins or protoops that the code stands
// for, so that errors.Is works on both ends of the socket.
func (e *Error) Unwrap() error {
	for _, k := range known {
		if k.code == e.Code {
			return k.err
		}
	}
	return nil
}

// Codes of what the protocol itself refuses.
const (
	CodeRequest     = "request"      // the request is malformed
	CodeConnection  = "connection"   // there is no such connection, or no longer
	CodePlugin      = "plugin"       // the plugin cannot be loaded
	CodeOption      = "option"       // an option is wrong
	CodeNotAttached = "not_attached" // there is nothing to detach
	CodeOwned       = "owned"        // the plugin has to stay
	CodeRefused     = "refused"      // the connection refuses the plugin for another reason
)

// known are the errors with codes of their own.
var known = []struct {
	code string
	err  error
}{
	{"too_late", plugins.ErrTooLate},
	{"conflict", plugins.ErrConflict},
	{"missing", plugins.ErrMissing},
	{"frame_type", plugins.ErrFrameType},
	{"parameter", plugins.ErrParameter},
	{"attached", protoops.ErrAttached},
	{"replaced", protoops.ErrReplaced},
	{"declared", protoops.ErrDeclared},
}

func errorf(code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// asError gives an error of an attach a code.
func asError(err error) *Error {
	var own *Error
	var option *plugins.OptionError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &option):
		return &Error{CodeOption, err.Error()}
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return &Error{k.code, err.Error()}
		}
	}
	return &Error{CodeRefused, err.Error()}
}

// parseRequest reads a request's line.
func parseRequest(line []byte) (*Request, error) {
	r := new(Request)
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, errorf(CodeRequest, "no request: %v; want a JSON object such as {\"op\":\"list\"} on one line", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errorf(CodeRequest, "something follows the request's JSON object: want one object per line")
	}
	if !slices.Contains(ops, r.Op) {
		return nil, errorf(CodeRequest, "unknown op %.40q: want list, attach, detach or stats", r.Op)
	}
	if r.Connection == "" {
		r.Connection = All
	}
	changes := r.Op == OpAttach || r.Op == OpDetach
	switch {
	case changes && r.Plugin == "":
		return nil, errorf(CodeRequest, "%s: the plugin is missing: want its name in \"plugin\"", r.Op)
	case !changes && r.Plugin != "":
		return nil, errorf(CodeRequest, "%s takes no plugin", r.Op)
	case r.Op != OpAttach && (r.Object != nil || r.Options != nil):
		return nil, errorf(CodeRequest, "%s takes no object and no options: only attach does", r.Op)
	case len(r.Object) > MaxObject:
		return nil, errorf(CodeRequest, "object of %d bytes: want at most %d", len(r.Object), MaxObject)
	}
	return r, nil
}

var errLineTooLong = errors.New("line too long")

// readLine reads a line of at most limit bytes, without its end. A last line
// without one is not taken for complete.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, errLineTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
