#!/bin/sh
# Compiles the plugins of the repository: plugins.sh PQUIC_PLUGIN
set -eu
tool=$1
for source in plugins/*/src/*.c; do
	folder=$(dirname "$(dirname "$source")")
	"$tool" build --check=false --include plugins/sdk --clang "${CLANG:-clang-19}" -o "$folder/$(basename "$source" .c).o" "$source"
done
