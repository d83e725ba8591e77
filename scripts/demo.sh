#!/bin/sh
# Serves a file of 100 MB over HTTP/3 on loopback, fetches it with the client
# and compares the hashes. Usage: demo.sh BINDIR
set -eu
[ $# -eq 1 ] && [ -x "$1/pquic-server" ] && [ -x "$1/pquic-client" ] || {
	echo "demo: want the directory of pquic-server and pquic-client: demo.sh BINDIR" >&2
	exit 2
}
PATH=$(cd "$1" && pwd):$PATH
dir=$(mktemp -d)
server=
trap 'status=$?; [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$dir"; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$dir"
mkdir www
dd if=/dev/urandom of=www/100M.bin bs=1000000 count=100 2>/dev/null

echo '$ pquic-server --listen 127.0.0.1:0 --www www'
mkfifo ready
pquic-server --listen 127.0.0.1:0 --www www >ready 2>server.log &
server=$!
exec 3<ready
if ! read -r listening <&3 || ! read -r certificate <&3; then
	echo "demo: the server did not start:" >&2
	cat server.log >&2
	exit 1
fi
cat <&3 >/dev/null &
echo "$listening"
echo "$certificate"
url=https://${listening#listening on }/100M.bin
pin=${certificate##* }

echo "\$ pquic-client --pin $pin --output dl $url"
pquic-client --pin "$pin" --output dl "$url"

want=$(sha256sum <www/100M.bin)
got=$(sha256sum <dl/100M.bin)
if [ "$want" != "$got" ]; then
	echo "demo: hashes differ: served ${want%% *}, fetched ${got%% *}" >&2
	exit 1
fi
echo "sha256 ${got%% *} matches"
