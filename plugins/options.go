package plugins

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquic-go/pquic/vm"
)

// An OptionType says what an option's value is and how users write it.
type OptionType string

// Option types.
const (
	OptionU64      OptionType = "u64"
	OptionI64      OptionType = "i64"
	OptionBool     OptionType = "bool"     // true, false, on, off, 1, 0; alone it means true
	OptionDuration OptionType = "duration" // 10ms; ns in the plugin
	OptionString   OptionType = "string"
)

var optionTypes = []OptionType{OptionU64, OptionI64, OptionBool, OptionDuration, OptionString}

// An Option is a value that the user of a plugin may set. In the plugin it is a
// global variable, whose initial value is the default.
type Option struct {
	Name    string
	Type    OptionType
	Help    string
	Default string // as users write it

	addr, size uint32
}

// optionPrefix begins the names of the variables.
const optionPrefix = "pq_option_"

// addOption reads "interval duration time between two reports".
func (m *Manifest) addOption(v string) error {
	words := strings.SplitN(v, " ", 3)
	if len(words) < 3 {
		return fmt.Errorf("%q: want a name, a type and a help text", clip(v))
	}
	o := Option{Name: words[0], Type: OptionType(words[1]), Help: words[2]}
	if o.Name == "" || len(o.Name) > 64 || strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("%q: want lower-case letters, digits and '_' as its name", clip(o.Name))
	}
	if !slices.Contains(optionTypes, o.Type) {
		return fmt.Errorf("%s: unknown type %q", o.Name, clip(string(o.Type)))
	}
	m.Options = append(m.Options, o)
	return nil
}

// findOptions finds the variables of the options and reads the defaults.
func findOptions(o *vm.Object, m *Manifest) error {
	for i := range m.Options {
		opt := &m.Options[i]
		g, ok := o.Globals[optionPrefix+opt.Name]
		if !ok {
			return fmt.Errorf("option %s has no variable %s%s", opt.Name, optionPrefix, opt.Name)
		}
		if opt.Type != OptionString && g.Size != 8 || g.Size == 0 || g.Size > 256 {
			return fmt.Errorf("the variable of option %s has %d bytes", opt.Name, g.Size)
		}
		opt.addr, opt.size = g.Addr, g.Size
		initial := make([]byte, g.Size)
		if g.Addr >= o.DataAddr && g.Addr < o.BSSAddr && int(g.Addr-o.DataAddr) < len(o.Data) {
			copy(initial, o.Data[g.Addr-o.DataAddr:])
		} else if g.Addr < o.DataAddr {
			return fmt.Errorf("the variable of option %s is constant", opt.Name)
		}
		opt.Default = opt.show(initial)
	}
	return nil
}

// show writes a value as users do.
func (o *Option) show(b []byte) string {
	if o.Type == OptionString {
		s, _, _ := strings.Cut(string(b), "\x00")
		return strings.ToValidUTF8(s, "?")
	}
	v := binary.LittleEndian.Uint64(b)
	switch o.Type {
	case OptionBool:
		return strconv.FormatBool(v != 0)
	case OptionDuration:
		return time.Duration(v).String()
	case OptionI64:
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(v, 10)
}

// encode reads a value as users write it.
func (o *Option) encode(s string) ([]byte, error) {
	var v uint64
	switch o.Type {
	case OptionString:
		if len(s) >= int(o.size) || strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("want at most %d bytes", o.size-1)
		}
		return append([]byte(s), make([]byte, int(o.size)-len(s))...), nil
	case OptionBool:
		switch s {
		case "true", "on", "1", "":
			v = 1
		case "false", "off", "0":
		default:
			return nil, fmt.Errorf("want true or false")
		}
	case OptionDuration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, fmt.Errorf("want a duration, such as 10ms")
		}
		v = uint64(d)
	case OptionI64:
		n, err := strconv.ParseInt(s, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("want a whole number")
		}
		v = uint64(n)
	default:
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return nil, fmt.Errorf("want a whole number that is not negative")
		}
		v = n
	}
	return binary.LittleEndian.AppendUint64(nil, v), nil
}

// A setting is the value of one option, ready to be stored.
type setting struct {
	addr  uint32
	value []byte
}

// settings checks the values a user gave.
func (m *Manifest) settings(values map[string]string) ([]setting, error) {
	var list []setting
	for name, text := range values {
		i := slices.IndexFunc(m.Options, func(o Option) bool { return o.Name == name })
		if i < 0 {
			return nil, &OptionError{Plugin: m.Name, Option: name, Err: fmt.Errorf("there is no such option%s", m.optionList())}
		}
		b, err := m.Options[i].encode(text)
		if err != nil {
			return nil, &OptionError{Plugin: m.Name, Option: name, Value: text, Err: err}
		}
		list = append(list, setting{m.Options[i].addr, b})
	}
	return list, nil
}

// CheckOptions checks the values a user gave for the plugin's options. Errors
// are *OptionError.
func (p *Plugin) CheckOptions(values map[string]string) error {
	_, err := p.manifest.settings(values)
	return err
}

func (m *Manifest) optionList() string {
	var names []string
	for _, o := range m.Options {
		names = append(names, o.Name)
	}
	if names == nil {
		return ": it has none"
	}
	return ": it has " + strings.Join(names, ", ")
}

// ParseSpec reads what follows --plugin: NAME|FILE[,option=value…]. An option
// without a value is true.
func ParseSpec(s string) (name string, options map[string]string, err error) {
	parts := strings.Split(s, ",")
	if parts[0] == "" {
		return "", nil, fmt.Errorf("want NAME or FILE, perhaps followed by ,OPTION=VALUE")
	}
	for _, p := range parts[1:] {
		key, value, given := strings.Cut(p, "=")
		if !given {
			value = "true"
		}
		if key == "" {
			return "", nil, fmt.Errorf("want OPTION=VALUE after the comma, got %q", clip(p))
		}
		if _, dup := options[key]; dup {
			return "", nil, fmt.Errorf("option %s is there twice", clip(key))
		}
		if options == nil {
			options = make(map[string]string)
		}
		options[key] = value
	}
	return parts[0], options, nil
}
