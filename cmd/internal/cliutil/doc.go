// Package cliutil is what the programs under cmd have in common: flags that
// check their values and say what would be right, help with examples, one clear
// line per error, exit codes.
//
// Every flag also reads an environment variable, PQUIC_ and the flag's name in
// capitals, which the help names. A flag given on the command line wins.
package cliutil
