#!/bin/sh
# Builds the plugin, verifies it and runs its pluglets on made-up arguments.
set -eu
cd "$(dirname "$0")"
pquic-plugin build @SHORT@.c
pquic-plugin verify @SHORT@.o
pquic-plugin run @SHORT@.o post/packet_sealed packet.size=1200
pquic-plugin run @SHORT@.o post/connection_closed
