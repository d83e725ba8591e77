package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
)

func verifyCommand() *cli.Command {
	o := new(options)
	strict := false
	flags := append(o.flags(true), cliutil.Flag{Name: "proved", Usage: "fail unless every pluglet is proved to end"}.Bool(&strict))
	return cliutil.Command("verify", "tell whether each pluglet is proved to end", "pquic-plugin verify NAME|FILE",
		`Loads a plugin as a server would and prints the verifier's verdict on each pluglet: the most
instructions it can take, or why there is no such bound; it is metered then.`,
		flags, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "fail unless all is proved", Line: "pquic-plugin verify --proved ./hello.o"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if err := noMore(c, 1); err != nil {
				return err
			}
			p, err := o.load(c)
			if err != nil {
				return err
			}
			defer p.Release()
			d := describe(p)
			metered := 0
			for _, l := range d.Pluglets {
				if !l.Proved {
					metered++
				}
			}
			if o.json {
				err = printJSON(c.App.Writer, d.Pluglets)
			} else {
				t := tabwriter.NewWriter(c.App.Writer, 0, 4, 2, ' ', 0)
				for _, l := range d.Pluglets {
					verdict := l.ends()
					if !l.Proved {
						verdict += " (" + l.Reason + ")"
					}
					fmt.Fprintf(t, "%s\t%s\t%s\n", l.Section, l.Function, verdict)
				}
				err = t.Flush()
			}
			if err == nil && strict && metered > 0 {
				err = fmt.Errorf("%d of %d pluglets are not proved to end", metered, len(d.Pluglets))
			}
			return err
		})
}
