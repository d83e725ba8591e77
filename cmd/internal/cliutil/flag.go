package cliutil

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// A Flag is what all kinds of flags have. Its methods make the kinds: each
// stores what the user gave in *p, whose value before is the default.
type Flag struct {
	Name     string
	Aliases  []string
	Usage    string // the value's name stands between backquotes
	Category string
	Env      []string // read if the flag's own variable is not set
}

// EnvPrefix begins the names of the flags' environment variables.
const EnvPrefix = "PQUIC_"

func (f Flag) env() []string {
	own := EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
	return append([]string{own}, f.Env...)
}

func (f Flag) generic(v cli.Generic) cli.Flag {
	return &cli.GenericFlag{Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Category: f.Category, EnvVars: f.env(), Value: v}
}

// Bool makes a switch.
func (f Flag) Bool(p *bool) cli.Flag {
	return &cli.BoolFlag{
		Name: f.Name, Aliases: f.Aliases, Usage: f.Usage, Category: f.Category, EnvVars: f.env(),
		Destination: p, Value: *p, DisableDefaultText: !*p,
	}
}

// A value is a flag's value: how to read it and how to show it.
type value[T any] struct {
	p     *T
	parse func(string) (T, error)
	show  func(T) string
}

// itself stands for a value in the text that package cli copies to a flag's
// aliases, which all have the same value.
const itself = "\x00itself"

// Serialize is what package cli asks for that text.
func (v *value[T]) Serialize() string { return itself }

func (v *value[T]) Set(s string) error {
	if s == itself {
		return nil
	}
	parsed, err := v.parse(s)
	if err == nil {
		*v.p = parsed
	}
	return err
}

func (v *value[T]) String() string {
	if v.p == nil {
		return ""
	}
	return v.show(*v.p)
}

// String makes a flag that takes any text but none.
func (f Flag) String(p *string) cli.Flag {
	return f.generic(&value[string]{p, func(s string) (string, error) {
		if s == "" {
			return "", fmt.Errorf("want a value, got nothing")
		}
		return s, nil
	}, func(s string) string { return s }})
}

// Choice makes a flag that takes one of several words.
func (f Flag) Choice(p *string, valid ...string) cli.Flag {
	return f.generic(&value[string]{p, func(s string) (string, error) {
		if !slices.Contains(valid, s) {
			return "", fmt.Errorf("want %s", OneOf(valid))
		}
		return s, nil
	}, func(s string) string { return s }})
}

// Choices makes a flag that takes some of several words, separated by commas.
func (f Flag) Choices(p *[]string, valid ...string) cli.Flag {
	return f.generic(&value[[]string]{p, func(s string) ([]string, error) {
		words := strings.Split(s, ",")
		for i, w := range words {
			if !slices.Contains(valid, w) {
				return nil, fmt.Errorf("%q is unknown: want %s, or several separated by commas", w, OneOf(valid))
			}
			if slices.Contains(words[:i], w) {
				return nil, fmt.Errorf("%q is there twice", w)
			}
		}
		return words, nil
	}, func(words []string) string { return strings.Join(words, ",") }})
}

// Strings makes a flag that may be given several times. check, if set, refuses
// values.
func (f Flag) Strings(p *[]string, check func(string) error) cli.Flag {
	return f.generic(&value[[]string]{p, func(s string) ([]string, error) {
		if check != nil {
			if err := check(s); err != nil {
				return nil, err
			}
		}
		return append(slices.Clip(*p), s), nil
	}, func(list []string) string { return strings.Join(list, " ") }})
}

// Int makes a flag that takes a whole number from low to high. The help shows
// no default that is 0 or out of these bounds.
func (f Flag) Int(p *int, low, high int) cli.Flag {
	return f.generic(&value[int]{p, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("want a whole number from %d to %d", low, high)
		}
		return n, nil
	}, func(n int) string {
		if n == 0 || n < low || n > high {
			return ""
		}
		return strconv.Itoa(n)
	}})
}

// Unset is a size that was not given, where 0 has a meaning.
const Unset = math.MaxUint64

// Size makes a flag that takes a number of bytes from low to high. The help
// shows no default that is 0 or Unset.
func (f Flag) Size(p *uint64, low, high uint64) cli.Flag {
	return f.generic(&value[uint64]{p, func(s string) (uint64, error) {
		n, err := ParseSize(s)
		if err != nil {
			return 0, err
		}
		if n < low || n > high {
			return 0, fmt.Errorf("is %s: want %s to %s; a number without a unit counts bytes", FormatSize(n), FormatSize(low), FormatSize(high))
		}
		return n, nil
	}, func(n uint64) string {
		if n == 0 || n == Unset {
			return ""
		}
		return FormatSize(n)
	}})
}

// Duration makes a flag that takes a duration from low to high.
func (f Flag) Duration(p *time.Duration, low, high time.Duration) cli.Flag {
	return f.generic(&value[time.Duration]{p, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("want a number with a unit, such as 500ms, 10s or 2m")
		}
		if d < low || d > high {
			return 0, fmt.Errorf("want %v to %v", low, high)
		}
		return d, nil
	}, showUnlessZero(time.Duration.String)})
}

// Address makes a flag that takes HOST:PORT.
func (f Flag) Address(p *string) cli.Flag {
	return f.generic(&value[string]{p, func(s string) (string, error) {
		return s, CheckAddress(s)
	}, func(s string) string { return s }})
}

// CheckAddress returns an error unless s is HOST:PORT. The host may be missing.
func CheckAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("want HOST:PORT, such as 127.0.0.1:6121, [::1]:6121 or :6121")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q: want a number from 0 to 65535", port)
	} else if strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("port %q: want it written as %d", port, n)
	}
	return nil
}

func showUnlessZero[T comparable](show func(T) string) func(T) string {
	return func(v T) string {
		var zero T
		if v == zero {
			return ""
		}
		return show(v)
	}
}

// OneOf lists words for a sentence: "a, b or c".
func OneOf(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}
