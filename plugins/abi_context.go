package plugins

import (
	"fmt"
	"strings"
	"sync"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
)

// A Role says what a member of a context is.
type Role uint8

// Roles.
const (
	RoleConn   Role = iota // the connection
	RoleArg                // a scalar argument
	RoleHandle             // an argument that is an object
	RoleBytes              // where the bytes of an argument are in the pluglet's memory
	RoleLength             // how many bytes these are
	RoleResult             // a scalar result
	RoleWord               // an argument of an operation that a plugin declared
	RoleCount              // how many arguments it was given
	RoleAnswer             // a result of an operation that a plugin declared
)

// A Member is one member of a context.
type Member struct {
	Name string
	Role Role
	Kind string // "u64", "i64", "bool"… of a scalar, the C name of an object's kind
	Unit string
	Doc  string
	// Nullable: an object that may be missing.
	Nullable bool
	Min, Max uint64

	index int // among the arguments or results of the operation
	kind  int // of an object
	size  uint8
}

// A Context is what a pluglet of an operation receives: struct
// pq_<operation>_ctx. All operations of a family share one.
type Context struct {
	Operation string // "" of operations that plugins declare
	Info      protoops.OpInfo
	Params    []uint64 // parameters the engine knows, of a family
	Family    bool     // plugins may add parameters
	Members   []Member
	// AnswerKind is the kind of object that the operation answers with, -1 none.
	AnswerKind int
	answer     int // index of that result
}

// CName returns the name of the C struct without "struct".
func (x *Context) CName() string {
	if x.Operation == "" {
		return "pq_call_ctx"
	}
	return "pq_" + strings.ReplaceAll(x.Operation, ".", "_") + "_ctx"
}

// Bounds of operations that plugins declare.
const (
	callWords = 8 // argument and result words
	callBytes = 2 // byte arguments
)

// nullable are the arguments that may be missing, beside those whose
// description says so.
var nullable = map[string]bool{
	"schedule_next_stream.stream":     true,
	"find_ready_plugin_stream.stream": true,
}

// contexts lists the contexts of all operations by name, that of declared ones
// first.
var contexts = sync.OnceValue(func() []*Context {
	all := []*Context{callContext()}
	for _, info := range core.Operations.Ops() {
		if last := all[len(all)-1]; last.Operation == info.Key.Name {
			last.add(info)
			continue
		}
		x := newContext(info)
		x.add(info)
		all = append(all, x)
	}
	return all
})

// Contexts lists the contexts of all operations, sorted by name; that of
// operations that plugins declare comes first.
func Contexts() []*Context { return contexts() }

// contextOf returns the context of an operation, that of declared ones if the
// engine has none of the name.
func contextOf(name string) *Context {
	for _, x := range contexts() {
		if x.Operation == name {
			return x
		}
	}
	return contexts()[0]
}

func (x *Context) add(info protoops.OpInfo) {
	switch {
	case info.Family:
		x.Family = true
	case info.Key.Param != protoops.NoParam:
		x.Params = append(x.Params, info.Key.Param)
	}
}

// newContext makes the context of an operation. What cannot be shown is a
// mistake of this package, found when the program starts.
func newContext(info protoops.OpInfo) *Context {
	x := &Context{Operation: info.Key.Name, Info: info, AnswerKind: -1, answer: -1}
	x.Members = append(x.Members, connMember())
	for i := range info.Args {
		x.addArg(i, &info.Args[i])
	}
	if x.Operation == "process_frame" {
		// The frame itself is no argument that package protoops could describe.
		x.addBytes(-1, "frame", "the frame, its type included; of a plugin's types alone, else empty")
	}
	for i := range info.Results {
		r := &info.Results[i]
		if r.Kind == "handle" {
			x.AnswerKind, x.answer = mustKind(r.Type), i
			continue
		}
		x.Members = append(x.Members, Member{Name: "result_" + r.Name, Role: RoleResult, Kind: r.Kind, Unit: r.Unit,
			Doc: r.Doc, Min: r.Min, Max: r.Max, index: i, size: scalarSize(r.Kind)})
	}
	return x
}

func connMember() Member {
	return Member{Name: "conn", Role: RoleConn, Kind: kinds[kindConn].Name, Doc: "the connection", kind: kindConn, size: 8}
}

func (x *Context) addArg(i int, p *protoops.Param) {
	switch p.Kind {
	case "handle":
		k := mustKind(p.Type)
		x.Members = append(x.Members, Member{Name: p.Name, Role: RoleHandle, Kind: kinds[k].Name, Doc: p.Doc, kind: k, index: i, size: 8,
			Nullable: nullable[x.Operation+"."+p.Name] || strings.Contains(p.Doc, "nil") || strings.Contains(p.Doc, "0 none")})
	case "bytes":
		x.addBytes(i, p.Name, p.Doc)
	default:
		x.Members = append(x.Members, Member{Name: p.Name, Role: RoleArg, Kind: p.Kind, Unit: p.Unit, Doc: p.Doc,
			Min: p.Min, Max: p.Max, index: i, size: scalarSize(p.Kind)})
	}
}

func (x *Context) addBytes(i int, name, doc string) {
	x.Members = append(x.Members,
		Member{Name: name, Role: RoleBytes, Kind: "bytes", Doc: doc, index: i, size: 8},
		Member{Name: name + "_length", Role: RoleLength, Kind: "u64", Unit: "bytes", Doc: "how many bytes there are at " + name, index: i, size: 8})
}

// callContext is the context of operations that plugins declare.
func callContext() *Context {
	x := &Context{AnswerKind: -1, answer: -1}
	x.Members = append(x.Members, connMember())
	for _, k := range []int{kindPath, kindStream, kindPacket, kindReceived, kindBuilder} {
		x.Members = append(x.Members, Member{Name: strings.TrimPrefix(kinds[k].Name, "pq_"), Role: RoleHandle, Kind: kinds[k].Name, kind: k,
			index: -1, size: 8, Nullable: true, Doc: "the one that the caller passed, if it did"})
	}
	x.Members = append(x.Members, Member{Name: "args", Role: RoleCount, Kind: "u64", Doc: "how many arguments the caller passed", size: 8})
	for i := range callWords {
		x.Members = append(x.Members, Member{Name: fmt.Sprintf("arg%d", i), Role: RoleWord, Kind: "u64", index: i, size: 8, Doc: "an argument, 0 if it was not passed"})
	}
	for i := range callBytes {
		x.addBytes(i, fmt.Sprintf("bytes%d", i), "bytes that the caller passed")
	}
	for i := range callWords {
		x.Members = append(x.Members, Member{Name: fmt.Sprintf("result%d", i), Role: RoleAnswer, Kind: "u64", index: i, size: 8, Doc: "a result"})
	}
	return x
}

func scalarSize(kind string) uint8 {
	switch kind {
	case "bool", "u8", "i8":
		return 1
	case "u16", "i16":
		return 2
	case "u32", "i32":
		return 4
	}
	return 8
}

func mustKind(goType string) int {
	k, ok := goTypes[goType]
	if !ok {
		panic("plugins: no kind of handle for " + goType)
	}
	return k
}
