// Command sdkgen writes what is generated from the description of the interface
// between plugins and the engine: the C header pquic_gen.h, the machine-readable
// abi.json, both in plugins/sdk, and the reference docs/plugin-abi.md. Run it at
// the top of the repository (make generate).
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sdkgen:", err)
		os.Exit(1)
	}
}

func run() error {
	abi := describe()
	json, err := abi.json()
	if err != nil {
		return err
	}
	intro, err := os.ReadFile("internal/sdkgen/plugin-abi.md")
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{
		"plugins/sdk/pquic_gen.h": abi.header(),
		"plugins/sdk/abi.json":    json,
		"docs/plugin-abi.md":      append(intro, abi.reference()...),
	} {
		if err := os.WriteFile(name, b, 0o666); err != nil {
			return err
		}
	}
	return nil
}
