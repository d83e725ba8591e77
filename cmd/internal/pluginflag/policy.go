package pluginflag

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/plugins"
)

// PolicyFlags returns the flags of servers that set o, beside Flags.
func (o *Options) PolicyFlags() []cli.Flag {
	return []cli.Flag{cliutil.Flag{
		Name: "plugin-for", Category: Category,
		Usage: "attach a plugin to the connections of one protocol or host name, `SELECTOR:NAME|FILE[,OPTION=VALUE…]`: SELECTOR is alpn=PROTOCOL, sni=HOST (*.HOST means any one label before it) or alpn=PROTOCOL,sni=HOST for both at once; repeatable, after --plugin",
	}.Strings(&o.Policy, func(s string) error {
		_, spec, err := parsePolicy(s)
		if err == nil {
			_, _, err = plugins.ParseSpec(spec)
		}
		return err
	})}
}

// CheckPolicy refuses selectors that no connection of a server can meet, which
// speaks these protocols.
func (o *Options) CheckPolicy(protocols []string) error {
	for _, text := range o.Policy {
		sel, _, err := parsePolicy(text)
		if err != nil {
			return cliutil.Usagef("--plugin-for %q: %v", text, err)
		}
		if sel.alpn != "" && !slices.Contains(protocols, sel.alpn) {
			return cliutil.Usagef("--plugin-for %q: %q is not spoken here: want %s, or more protocols in --alpn", text, sel.alpn, cliutil.OneOf(protocols))
		}
	}
	return nil
}

// A rule attaches a plugin to the connections that a selector selects.
type rule struct {
	selector
	entry
}

// A selector says which connections. What is empty does not matter.
type selector struct{ alpn, sni string }

var errPolicy = errors.New("want alpn=PROTOCOL:NAME, sni=HOST:NAME or alpn=PROTOCOL,sni=HOST:NAME, where NAME may be a FILE and have options")

// parsePolicy takes SELECTOR:SPEC apart.
func parsePolicy(s string) (sel selector, spec string, err error) {
	conditions, spec, ok := strings.Cut(s, ":")
	if !ok || spec == "" {
		return sel, "", errPolicy
	}
	for c := range strings.SplitSeq(conditions, ",") {
		key, value, _ := strings.Cut(c, "=")
		var p *string
		switch key {
		case "alpn":
			p = &sel.alpn
		case "sni":
			p = &sel.sni
			if value, err = hostName(value); err != nil {
				return sel, "", err
			}
		}
		if p == nil || value == "" {
			return sel, "", errPolicy
		}
		if *p != "" {
			return sel, "", fmt.Errorf("%s is there twice: want one of each at most; --plugin-for may be repeated", key)
		}
		*p = value
	}
	return sel, spec, nil
}

// hostName checks and normalises what follows sni=.
// "Literal IPv4 and IPv6 addresses are not permitted in "HostName"."
// https://www.rfc-editor.org/rfc/rfc6066#section-3
func hostName(s string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(s, "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return "", fmt.Errorf("sni=%s: clients send no addresses as SNI: want a host name", s)
	}
	name := strings.TrimPrefix(host, "*.")
	if name == "" || len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", fmt.Errorf("sni=%.40s: want a host name such as example.org or *.example.org", s)
	}
	return host, nil
}

// selects reports whether a connection of that ALPN and SNI is meant.
func (s selector) selects(alpn, sni string) bool {
	if s.alpn != "" && s.alpn != alpn {
		return false
	}
	if s.sni == "" {
		return true
	}
	sni = strings.ToLower(strings.TrimSuffix(sni, "."))
	if rest, ok := strings.CutPrefix(s.sni, "*"); ok {
		label, found := strings.CutSuffix(sni, rest)
		return found && label != "" && !strings.Contains(label, ".")
	}
	return s.sni == sni
}

// OnTransportParameters returns a hook for core.Config that attaches the plugins
// whose selectors the connection meets, after next has run, which may be nil. On
// a server the engine calls it as soon as it knows SNI and ALPN, in time for
// plugins that add transport parameters.
func (s *Set) OnTransportParameters(next func(*core.Conn) error) func(*core.Conn) error {
	if s == nil || len(s.policy) == 0 {
		return next
	}
	return func(c *core.Conn) error {
		if next != nil {
			if err := next(c); err != nil {
				return err
			}
		}
		for _, r := range s.policy {
			if r.selects(c.ALPN(), c.ServerName()) {
				s.attach(c, r.entry)
			}
		}
		return nil
	}
}
