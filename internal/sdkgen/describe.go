package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/protoops"
)

// The description of the interface, as abi.json has it. An independent engine
// can host the same plugins if it offers what is listed here.
type abi struct {
	Version    int         `json:"abi_version"`
	Objects    []object    `json:"objects"`
	Operations []operation `json:"operations"`
	Functions  []function  `json:"functions"`
}

type object struct {
	Name   string  `json:"name"`
	Doc    string  `json:"doc"`
	Fields []field `json:"fields,omitempty"`
}

type field struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Bytes    int    `json:"bytes,omitempty"`
	Unit     string `json:"unit,omitempty"`
	Writable bool   `json:"writable,omitempty"`
	Min      string `json:"min,omitempty"`
	Max      string `json:"max,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

type operation struct {
	Name    string   `json:"name,omitempty"`
	Context string   `json:"context"`
	Event   bool     `json:"event,omitempty"`
	Params  []string `json:"parameters,omitempty"`
	Open    bool     `json:"plugin_parameters,omitempty"`
	Summary string   `json:"summary,omitempty"`
	Fires   string   `json:"fires,omitempty"`
	Native  string   `json:"native,omitempty"`
	Section string   `json:"section,omitempty"`
	Answer  string   `json:"answers_with,omitempty"`
	Members []member `json:"members"`
}

type member struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Type     string `json:"type"`
	Unit     string `json:"unit,omitempty"`
	Nullable bool   `json:"nullable,omitempty"`
	Min      string `json:"min,omitempty"`
	Max      string `json:"max,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

type function struct {
	Name     string `json:"name"`
	Group    string `json:"group"`
	C        string `json:"c"`
	Effect   string `json:"effect"`
	Declared bool   `json:"declared,omitempty"`
	MayFree  bool   `json:"may_free,omitempty"`
	Doc      string `json:"doc"`
}

func describe() *abi {
	a := &abi{Version: plugins.ABIVersion}
	for _, k := range plugins.Kinds() {
		a.Objects = append(a.Objects, describeObject(k))
	}
	for _, x := range plugins.Contexts() {
		a.Operations = append(a.Operations, describeOperation(x))
	}
	for _, f := range plugins.Functions() {
		a.Functions = append(a.Functions, function{f.Name, f.Group, f.C, f.Effect.String(), f.Declared(), f.MayFree(), f.Doc})
	}
	return a
}

func describeObject(k plugins.Kind) object {
	o := object{Name: k.Name, Doc: k.Doc}
	if k.Table == nil {
		return o
	}
	for _, f := range k.Table.Fields() {
		v := field{Name: f.Name, Type: f.Kind.String(), Unit: f.Unit, Writable: f.Writable, Doc: f.Doc}
		if f.Kind == protoops.Bytes {
			v.Bytes = int(f.Size)
		}
		if f.Writable {
			v.Min, v.Max = bounds(v.Type, f.Min, f.Max)
		}
		o.Fields = append(o.Fields, v)
	}
	return o
}

var roles = map[plugins.Role]string{
	plugins.RoleConn: "object", plugins.RoleArg: "argument", plugins.RoleHandle: "object", plugins.RoleBytes: "bytes", plugins.RoleLength: "length",
	plugins.RoleResult: "result", plugins.RoleWord: "argument", plugins.RoleCount: "argument", plugins.RoleAnswer: "result",
}

func describeOperation(x *plugins.Context) operation {
	o := operation{Name: x.Operation, Context: x.CName(), Event: x.Info.Event, Open: x.Family,
		Summary: x.Info.Doc.Summary, Fires: x.Info.Doc.Fires, Native: x.Info.Doc.Native, Section: x.Info.Doc.Section}
	if len(x.Params) > 0 || x.Family {
		// One text for all parameters: that of the first speaks of one only.
		o.Summary, o.Section = families[x.Operation], ""
	}
	for _, p := range x.Params {
		o.Params = append(o.Params, fmt.Sprintf("0x%x", p))
	}
	if x.AnswerKind >= 0 {
		o.Answer = plugins.Kinds()[x.AnswerKind].Name
	}
	for _, m := range x.Members {
		v := member{Name: m.Name, Role: roles[m.Role], Type: m.Kind, Unit: m.Unit, Nullable: m.Nullable, Doc: m.Doc}
		if m.Role == plugins.RoleResult {
			v.Min, v.Max = bounds(m.Kind, m.Min, m.Max)
		}
		o.Members = append(o.Members, v)
	}
	return o
}

// families are the summaries of operations that exist per parameter.
var families = map[string]string{
	"parse_frame":                 "Parses a frame of the type that is the parameter",
	"process_frame":               "Acts on a frame of the type that is the parameter",
	"write_frame":                 "Writes a frame of the type that is the parameter",
	"notify_frame":                "Tells the fate of a frame of the type that is the parameter",
	"write_transport_parameter":   "Answers the value of a plugin's transport parameter",
	"process_transport_parameter": "Acts on a plugin's transport parameter of the peer",
}

// bounds writes a legal range where it is narrower than the type.
func bounds(kind string, lo, hi uint64) (string, string) {
	if kind[0] == 'i' {
		if int64(lo) == -1<<63 && int64(hi) == 1<<63-1 {
			return "", ""
		}
		return fmt.Sprint(int64(lo)), fmt.Sprint(int64(hi))
	}
	widest := map[string]uint64{"bool": 1, "u8": 1<<8 - 1, "u16": 1<<16 - 1, "u32": 1<<32 - 1, "u64": 1<<64 - 1}[kind]
	if lo == 0 && hi == widest {
		return "", ""
	}
	return fmt.Sprint(lo), fmt.Sprint(hi)
}

func (a *abi) json() ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(a); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}
