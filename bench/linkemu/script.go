package linkemu

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Direction is one of the two ways over a link, or both.
type Direction uint8

const (
	AToB Direction = 1 << iota
	BToA
	Both = AToB | BToA
)

func (d Direction) String() string {
	switch d {
	case AToB:
		return "a>b"
	case BToA:
		return "b>a"
	case Both:
		return "both"
	}
	return "no direction"
}

// A Step is a change of a link at a time.
type Step struct {
	At    time.Duration // since the script began to play
	Every time.Duration // then again after each such interval; 0 means once
	// Direction is what Set changes. Set may be nil.
	Direction Direction
	Set       func(*Shape)
	Rebind    Rebind // needs a link with NAT
}

// ParseScript reads one step per line:
//
//	AT [every INTERVAL] a>b|b>a|both KEY=VALUE…
//	AT [every INTERVAL] rebind port|address
//
// with the keys of [ParseShape], such as "5s every 7s both down" or "1s every 5s rebind port".
// Empty lines and lines that begin with # are skipped. Errors name the line.
func ParseScript(r io.Reader) ([]Step, error) {
	var steps []Step
	in := bufio.NewScanner(r)
	for line := 1; in.Scan(); line++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		s, err := parseStep(strings.Fields(text))
		if err != nil {
			return nil, fmt.Errorf("linkemu: script line %d: %q: %w", line, text, err)
		}
		steps = append(steps, s)
	}
	return steps, in.Err()
}

func parseStep(f []string) (s Step, err error) {
	if s.At, err = time.ParseDuration(f[0]); err != nil || s.At < 0 {
		return s, fmt.Errorf("%q is not a time, want one such as 5s", f[0])
	}
	f = f[1:]
	if len(f) > 1 && f[0] == "every" {
		if s.Every, err = time.ParseDuration(f[1]); err != nil || s.Every <= 0 {
			return s, fmt.Errorf("%q is not an interval, want one such as 7s", f[1])
		}
		f = f[2:]
	}
	if len(f) < 2 {
		return s, fmt.Errorf("want a direction (a>b, b>a, both) and what to set, or rebind port or address")
	}
	switch f[0] {
	case "rebind":
		switch f[1] {
		case "port":
			s.Rebind = RebindPort
		case "address":
			s.Rebind = RebindAddress
		default:
			return s, fmt.Errorf("rebind %q: want port or address", f[1])
		}
		return s, nil
	case "a>b":
		s.Direction = AToB
	case "b>a":
		s.Direction = BToA
	case "both":
		s.Direction = Both
	default:
		return s, fmt.Errorf("%q: want a>b, b>a, both or rebind", f[0])
	}
	text := strings.Join(f[1:], ",")
	if _, err := ParseShape(text); err != nil {
		return s, err
	}
	s.Set = func(sh *Shape) { _ = sh.apply(text) } // parsed above
	return s, nil
}

// A player holds the steps of a script that are still to come.
type player struct {
	began time.Duration
	steps []Step
}

func (p *player) play(now time.Duration, steps []Step) {
	p.began, p.steps = now, append([]Step(nil), steps...)
}

// next returns when the next step is due; ok is false if there is none.
func (p *player) next() (at time.Duration, ok bool) {
	for i := range p.steps {
		if t := p.began + p.steps[i].At; !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// due takes out one step that is due, the earliest first.
func (p *player) due(now time.Duration) (s Step, ok bool) {
	best := -1
	for i := range p.steps {
		if p.began+p.steps[i].At <= now && (best < 0 || p.steps[i].At < p.steps[best].At) {
			best = i
		}
	}
	if best < 0 {
		return s, false
	}
	s = p.steps[best]
	if s.Every > 0 {
		p.steps[best].At += s.Every
	} else {
		p.steps = append(p.steps[:best], p.steps[best+1:]...)
	}
	return s, true
}
