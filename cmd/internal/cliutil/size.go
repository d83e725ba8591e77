package cliutil

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// units of sizes in bytes, the longest names first so that they match first.
var units = []struct {
	name   string
	factor uint64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12},
	{"b", 1},
}

var errSize = errors.New("want a number of bytes, with or without a unit: 65536, 64KiB, 1.5MB or 1GB")

// ParseSize reads a number of bytes: "1500", "64KiB" (1024 each), "10MB" or
// "10M" (1000 each). Capitals do not matter.
func ParseSize(s string) (uint64, error) {
	number, factor := strings.ToLower(strings.TrimSpace(s)), uint64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	if n, err := strconv.ParseUint(number, 10, 64); err == nil {
		if n > math.MaxUint64/factor {
			return 0, errSize
		}
		return n * factor, nil
	}
	if strings.ContainsAny(number, "einpx_+-") { // forms that ParseFloat takes beyond plain decimals
		return 0, errSize
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*float64(factor) >= math.MaxInt64 {
		return 0, errSize
	}
	return uint64(f * float64(factor)), nil
}

// FormatSize writes a number of bytes so that ParseSize reads the same again.
func FormatSize(n uint64) string {
	binary := [...]string{"TiB", "GiB", "MiB", "KiB"}
	decimal := [...]string{"TB", "GB", "MB", "kB"}
	for i := range binary {
		if f := uint64(1) << (10 * (4 - i)); n >= f && n%f == 0 {
			return strconv.FormatUint(n/f, 10) + binary[i]
		}
		if f := uint64(math.Pow10(3 * (4 - i))); n >= f && n%f == 0 {
			return strconv.FormatUint(n/f, 10) + decimal[i]
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}

// ShortSize writes a number of bytes for people: three digits and a unit.
func ShortSize(n uint64) string {
	return short(float64(n), "B")
}

// ShortRate writes a rate in bits per second for people.
func ShortRate(bitsPerSecond float64) string {
	return short(bitsPerSecond, "bit/s")
}

func short(f float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P"}
	i := 0
	for f >= 999.5 && i < len(prefixes)-1 {
		f /= 1000
		i++
	}
	digits := 0
	if i > 0 {
		switch {
		case f < 9.995:
			digits = 2
		case f < 99.95:
			digits = 1
		}
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + " " + prefixes[i] + unit
}
