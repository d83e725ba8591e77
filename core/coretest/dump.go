package coretest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// omitted fields say little about what went wrong.
var omitted = map[string]bool{
	"LocalParams": true, "RemoteParams": true, "OriginalID": true, "RemoteID": true, "LocalID": true,
	"LocalIPHigh": true, "LocalIPLow": true, "RemoteIPHigh": true, "RemoteIPLow": true,
}

// nonzero writes the fields of a struct that are not zero, times relative to
// the start.
func nonzero(v any) string {
	var b strings.Builder
	writeNonzero(&b, reflect.ValueOf(v))
	return strings.TrimSpace(b.String())
}

func writeNonzero(b *strings.Builder, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := v.Field(i)
		if f.IsZero() || !t.Field(i).IsExported() || omitted[t.Field(i).Name] {
			continue
		}
		switch x := f.Interface().(type) {
		case mono.Time:
			fmt.Fprintf(b, "%s=%v ", t.Field(i).Name, x.Sub(Epoch))
		case time.Duration:
			fmt.Fprintf(b, "%s=%v ", t.Field(i).Name, x)
		default:
			if f.Kind() == reflect.Struct {
				fmt.Fprintf(b, "%s{", t.Field(i).Name)
				writeNonzero(b, f)
				b.WriteString("} ")
				continue
			}
			fmt.Fprintf(b, "%s=%v ", t.Field(i).Name, x)
		}
	}
}
