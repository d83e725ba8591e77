#!/bin/sh
# Runs every fuzz target for FUZZTIME (default 10m) of one CPU each.
set -eu
: "${FUZZTIME:=10m}"
go list -f '{{.Dir}}' ./... | while read -r dir; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u | while read -r target; do
		echo "== $dir $target"
		(cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 50x -parallel 1 .)
	done
done
