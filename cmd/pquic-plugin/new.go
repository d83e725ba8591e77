package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/sdk"
)

//go:embed template
var template embed.FS

func newCommand() *cli.Command {
	return cliutil.Command("new", "begin a plugin", "pquic-plugin new NAME",
		`Makes a folder named after the last part of NAME, with a plugin that builds and counts packets,
the headers, the flags for clangd and a test.`,
		nil, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "a folder hello with everything in it", Line: "pquic-plugin new org.example.hello"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if err := noMore(c, 1); err != nil {
				return err
			}
			name := c.Args().First()
			if err := plugins.CheckName(name); err != nil {
				return cliutil.Usagef("%v", err)
			}
			dir, err := create(name)
			if err == nil {
				fmt.Fprintf(c.App.Writer, "%s: now edit %s and run %s\n", dir, filepath.Join(dir, dir+".c"), filepath.Join(dir, "test.sh"))
			}
			return err
		})
}

// create makes the folder of a new plugin and returns its name.
func create(name string) (string, error) {
	dir := name[strings.LastIndexByte(name, '.')+1:]
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	fill := strings.NewReplacer("@NAME@", name, "@SHORT@", dir)
	write := func(name string, b []byte, mode os.FileMode) error {
		return os.WriteFile(filepath.Join(dir, name), b, mode)
	}
	for _, f := range []struct {
		from, to string
		mode     os.FileMode
	}{{"plugin.c", dir + ".c", 0o666}, {"test.sh", "test.sh", 0o777}, {"README.md", "README.md", 0o666}} {
		b, err := template.ReadFile("template/" + f.from)
		if err != nil {
			return "", err
		}
		if err := write(f.to, []byte(fill.Replace(string(b))), f.mode); err != nil {
			return "", err
		}
	}
	if err := writeHeaders(filepath.Join(dir, "include")); err != nil {
		return "", err
	}
	return dir, write("compile_flags.txt", []byte(strings.Join(sdk.Flags, "\n")+"\n-xc\n-Iinclude\n"), 0o666)
}

// writeHeaders puts the headers into dir.
func writeHeaders(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	names, err := fs.Glob(sdk.Headers, "*.h")
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := sdk.Headers.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}
