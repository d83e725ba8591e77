package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/sdk"
)

// compilers are looked for in this order. The first is the one whose output is
// committed and compared.
var compilers = []string{"clang-19", "clang"}

type build struct {
	options
	clang   string
	include string
	out     string
	check   bool
	debug   bool
}

func buildCommand() *cli.Command {
	b := &build{check: true}
	flags := append(b.flags(false),
		cliutil.Flag{Name: "clang", Env: []string{"CLANG"}, Usage: "compile by `PROGRAM`; by default clang-19, else clang"}.String(&b.clang),
		cliutil.Flag{Name: "include", Usage: "take pquic.h from `DIR`; by default the headers of this program are used"}.String(&b.include),
		cliutil.Flag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`; by default the source's name ending in .o"}.String(&b.out),
		cliutil.Flag{Name: "check", Usage: "load the result and hold it to its manifest"}.Bool(&b.check),
		cliutil.Flag{Name: "debug", Usage: "keep the debug information that only debuggers read"}.Bool(&b.debug),
	)
	return cliutil.Command("build", "compile a plugin", "pquic-plugin build FILE.c [flags]",
		`Compiles one C file by clang into one object. Source lines stay in it, paths of this machine do not.`,
		flags, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "compile hello.c into hello.o", Line: "pquic-plugin build hello.c"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if !c.Args().Present() {
				return cliutil.Usagef("the source is missing: want FILE.c")
			}
			if err := noMore(c, 1); err != nil {
				return err
			}
			return b.run(c)
		})
}

func (b *build) run(c *cli.Context) error {
	source := c.Args().First()
	out := b.out
	if out == "" {
		out = strings.TrimSuffix(source, ".c") + ".o"
	}
	if err := b.compile(c.Context, source, out); err != nil {
		return err
	}
	if !b.check {
		return nil
	}
	p, err := plugins.LoadFile(out, plugins.LoadOptions{Engine: "interp"})
	if err != nil {
		return err
	}
	defer p.Release()
	if b.json {
		return printJSON(c.App.Writer, describe(p))
	}
	proved := 0
	for _, v := range p.Report() {
		if v.Proved {
			proved++
		}
	}
	size := int64(0)
	if info, err := os.Stat(out); err == nil {
		size = info.Size()
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: %s %s, %d pluglets, %d proved to end, %d bytes\n", out, p.Name(), p.Manifest().Version, len(p.Pluglets()), proved, size)
	return err
}

// compile runs clang in the folder of the source, so that no path of this
// machine gets into the object.
func (b *build) compile(ctx context.Context, source, out string) error {
	clang, err := b.compiler()
	if err != nil {
		return err
	}
	dir, file := filepath.Split(source)
	out, err = filepath.Abs(out)
	if err != nil {
		return err
	}
	include := b.include
	if include == "" {
		tmp, err := os.MkdirTemp("", "pquic-headers")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if err := writeHeaders(tmp); err != nil {
			return err
		}
		include = tmp
	} else if include, err = filepath.Abs(include); err != nil {
		return err
	}
	args := append([]string{}, sdk.Flags...)
	args = append(args, "-I"+include, "-I.", "-fdebug-compilation-dir=.", "-ffile-prefix-map="+include+"=include", "-c", file, "-o", out)
	cmd := exec.CommandContext(ctx, clang, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		os.Stderr.Write(stderr.Bytes())
		return fmt.Errorf("%s does not compile: %w", source, err)
	}
	os.Stderr.Write(stderr.Bytes())
	if !b.debug {
		strip(ctx, clang, out)
	}
	return nil
}

func (b *build) compiler() (string, error) {
	if b.clang != "" {
		return b.clang, nil
	}
	for _, name := range compilers {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no clang found: install clang 14 or later, or name it by --clang")
}

// strip removes the sections that only debuggers read. Without the tool they
// stay: they are not loaded.
func strip(ctx context.Context, clang, file string) {
	suffix := strings.TrimPrefix(filepath.Base(clang), "clang")
	for _, tool := range []string{"llvm-strip" + suffix, "llvm-strip"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			continue
		}
		if exec.CommandContext(ctx, path, "-g", file).Run() == nil {
			return
		}
	}
}
