package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
)

func disasmCommand() *cli.Command {
	o := new(options)
	source := true
	flags := append(o.flags(false), cliutil.Flag{Name: "source", Usage: "print the C source between the instructions"}.Bool(&source))
	return cliutil.Command("disasm", "print a plugin's bytecode", "pquic-plugin disasm NAME|FILE [SECTION|FUNCTION…]",
		`Prints the instructions of all functions or of those named, relocated as they run here.`,
		flags, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "one pluglet", Line: "pquic-plugin disasm monitoring post/packet_received"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			p, err := o.load(c)
			if err != nil {
				return err
			}
			defer p.Release()
			obj, wanted := p.Object(), c.Args().Tail()
			var listing []any
			found := 0
			for i, f := range obj.Functions {
				if len(wanted) > 0 && !slices.Contains(wanted, f.Section) && !slices.Contains(wanted, f.Name) {
					continue
				}
				found++
				if o.json {
					var code []string
					for _, in := range obj.Code[f.Start:f.End] {
						code = append(code, in.String())
					}
					listing = append(listing, map[string]any{"function": f.Name, "section": f.Section, "instructions": code})
					continue
				}
				if found > 1 {
					fmt.Fprintln(c.App.Writer)
				}
				if err := obj.Disassemble(c.App.Writer, i, source); err != nil {
					return err
				}
			}
			if found == 0 {
				return cliutil.Usagef("the plugin has no section or function %q; see pquic-plugin inspect", wanted[0])
			}
			if o.json {
				return printJSON(c.App.Writer, listing)
			}
			return nil
		})
}
