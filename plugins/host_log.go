package plugins

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/pquic-go/pquic/vm"
)

// Bounds of a log line.
const (
	maxLogLine = 1024
	maxLogArgs = 12
)

// A Level says how much a log line matters.
type Level uint64

// Levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// String names the level.
func (l Level) String() string {
	switch l {
	case LevelDebug:
		return "debug"
	case LevelInfo:
		return "info"
	case LevelWarn:
		return "warn"
	}
	return "error"
}

var logFunctions = []Function{
	{
		Name: "pq_log", Group: "log", C: "void pq_log(u64 level, const char *format, const u64 *args, u64 size)", Effect: vm.Sink,
		params: []vm.Param{scalar, textParam, memRead, lengthTo(8 * maxLogArgs)}, result: nothing, cost: 64,
		Doc: "Writes a line to the log; the macro of the same name takes the arguments one by one. In the format, %d is a signed number, %u an unsigned one, %x one in hexadecimal, %t a duration in ns, %s a string, %% a percent sign.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			log := h.in.log
			if log == nil {
				return 0, nil
			}
			format, err := h.m.CString(a[1], textParam.MaxLen)
			if err != nil {
				return 0, err
			}
			var args [maxLogArgs]uint64
			raw, err := h.bytes(a[2], a[3])
			if err != nil {
				return 0, err
			}
			n := len(raw) / 8
			for i := range n {
				args[i] = binary.LittleEndian.Uint64(raw[8*i:])
			}
			line, err := h.format(make([]byte, 0, 128), format, args[:n])
			if err != nil {
				return 0, err
			}
			log(h.in, Level(min(a[0], uint64(LevelError))), string(line))
			return 0, nil
		},
	},
}

// format appends text with its verbs filled in.
func (h *frame) format(b, text []byte, args []uint64) ([]byte, error) {
	for i := 0; i < len(text) && len(b) < maxLogLine; i++ {
		c := text[i]
		if c != '%' {
			b = append(b, c)
			continue
		}
		i++
		if i == len(text) {
			return nil, fmt.Errorf("format %q ends with a lone %%", text)
		}
		if text[i] == '%' {
			b = append(b, '%')
			continue
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("format %q has more verbs than arguments", text)
		}
		v := args[0]
		args = args[1:]
		switch text[i] {
		case 'd':
			b = strconv.AppendInt(b, int64(v), 10)
		case 'u':
			b = strconv.AppendUint(b, v, 10)
		case 'x':
			b = strconv.AppendUint(b, v, 16)
		case 't':
			b = append(b, time.Duration(v).String()...)
		case 's':
			s, err := h.m.CString(v, maxLogLine)
			if err != nil {
				return nil, err
			}
			b = appendPrintable(b, s)
		default:
			return nil, fmt.Errorf("format %q: unknown verb %%%c", text, text[i])
		}
	}
	return b[:min(len(b), maxLogLine)], nil
}

// appendPrintable keeps control characters out of logs and terminals.
func appendPrintable(b, s []byte) []byte {
	for _, c := range s {
		if c < ' ' || c > '~' {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}
