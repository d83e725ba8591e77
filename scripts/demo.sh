#!/bin/sh
# Serves a file of 100 MB over HTTP/3 on loopback, fetches it with the client
# and compares the hashes. Usage: demo.sh BINDIR
set -eu
bin=$1
dir=$(mktemp -d)
server=
trap 'status=$?; [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"; exit $status' EXIT INT TERM

mkdir "$dir/www" "$dir/dl"
dd if=/dev/urandom of="$dir/www/100M.bin" bs=1000000 count=100 2>/dev/null

mkfifo "$dir/ready"
"$bin/pquic-server" --listen 127.0.0.1:0 --www "$dir/www" >"$dir/ready" 2>"$dir/server.log" &
server=$!
exec 3<"$dir/ready"
if ! read -r line <&3; then
	echo "demo: the server did not start:" >&2
	cat "$dir/server.log" >&2
	exit 1
fi
addr=${line#listening on }
cat <&3 >/dev/null &

"$bin/pquic-client" --insecure --output "$dir/dl" "https://$addr/100M.bin"

want=$(sha256sum <"$dir/www/100M.bin")
got=$(sha256sum <"$dir/dl/100M.bin")
if [ "$want" != "$got" ]; then
	echo "demo: hashes differ: served ${want%% *}, fetched ${got%% *}" >&2
	exit 1
fi
echo "sha256 ${got%% *} matches"
