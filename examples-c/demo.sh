#!/usr/bin/env bash
# Three programs, one text, and a server that goes away in the middle: one client types this
# project's README, two watch; the server is ended for two seconds and comes back with the same
# file. Green only if all three and the reopened file hold the same text.
# Sets up what it needs (Rust and a C compiler must be there). DEMO_FILE types another file.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"
file=${DEMO_FILE:-$PWD/README.md}
seconds=${DEMO_SECONDS:-12}
room=readme

. examples-c/setup.sh
need cargo "" # from https://rustup.rs
need cc gcc
need make make

work=$(mktemp -d)
server=
clients=()
# shellcheck disable=SC2317 # called by the trap
finish() {
  local code=$? pid
  for pid in $server "${clients[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "$code" != 0 ]; then
    [ ! -s "$work/server.log" ] || tail -n 20 "$work/server.log" >&2
    echo "demo: FAILED" >&2
  fi
  rm -rf "$work"
}
trap finish EXIT

echo "demo: building (the first time takes a few minutes)"
cargo build --release --quiet
target=${CARGO_TARGET_DIR:-$PWD/target}
make --quiet -C examples-c TARGET="$target" OUT="$work" "$work/collab"

# start_server ADDRESS: starts it and waits for the line that says where it listens.
start_server() {
  : >"$work/ready"
  "$target/release/syncline-server" --listen "$1" --store "$work/store.sqlite" --log info \
    >"$work/ready" 2>>"$work/server.log" &
  server=$!
  for _ in $(seq 100); do
    url=$(sed -n 's/^syncline-server ready on \(ws:[^ ]*\).*/\1/p' "$work/ready")
    [ -z "$url" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  wait "$server" || true
  server=
  return 1
}

stop_server() {
  kill -TERM "$server"
  wait "$server" || { echo "demo: the server ended with an error" >&2; exit 1; }
  server=
}

start_server 127.0.0.1:0 || { echo "demo: the server does not start" >&2; exit 1; }
address=${url#ws://}
echo "demo: server on $url, store $work/store.sqlite"
begun=$(date +%s%N)
for name in watch-1 watch-2; do
  "$work/collab" "$url" "$room" watch --name "$name" --timeout 120 >"$work/$name" &
  clients+=($!)
done
"$work/collab" "$url" "$room" type "$file" --name typist --duration "$seconds" --timeout 120 >"$work/typist" &
clients+=($!)

sleep "$((seconds * 2 / 5))"
echo "demo: the server goes away"
stop_server
sleep 2
# Another program may have got the port meanwhile: then wait for it.
for attempt in 1 2 3 4 5 0; do
  ! start_server "$address" || break
  [ "$attempt" != 0 ] || { echo "demo: $address is taken" >&2; exit 1; }
done
echo "demo: the server is back"

for pid in "${clients[@]}"; do
  wait "$pid" || { echo "demo: a client failed" >&2; exit 1; }
done
clients=()
ended=$(date +%s%N)
stop_server
"$work/collab" inspect "$work/store.sqlite" "$room" >"$work/store" || { echo "demo: the store does not agree" >&2; exit 1; }

# field NAME FILE: a value of the line for machines.
field() { sed -n "s/^collab .*\b$1=\([^ ]*\).*/\1/p" "$2"; }
expected=$(cksum <"$file" | cut -d' ' -f1)
changes=$(field changes "$work/typist")
green=yes
echo
for name in typist watch-1 watch-2 store; do
  printf '%-8s checksum %-10s  %6s bytes of text  %6s changes  complete: %s\n' "$name" "$(field checksum "$work/$name")" \
    "$(field text_bytes "$work/$name")" "$(field changes "$work/$name")" "$(field complete "$work/$name")"
  [ "$(field checksum "$work/$name")" = "$expected" ] || green=no
  [ "$(field changes "$work/$name")" = "$changes" ] || green=no
  [ "$(field complete "$work/$name")" = yes ] || green=no
done
for name in watch-1 watch-2; do
  # Both were there before the outage and came back.
  [ "$(field connections "$work/$name")" -ge 2 ] || green=no
done
# The two lives of the server.
sum() { sed -n "s/.*\bserved .*\b$1=\([0-9]*\).*/\1/p" "$work/server.log" | paste -sd+ | sed 's/^$/0/' | { read -r terms; echo $((terms)); }; }
echo "file     checksum $expected (cksum)"
echo "typed    $(field keystrokes "$work/typist") keystrokes, $changes changes"
echo "sent     $(sum bytes_in) bytes to the server in $(sum messages_in) messages, $(sum bytes_out) bytes from it in $(sum messages_out)"
echo "stored   $(du -bc "$work"/store.sqlite* | tail -n 1 | cut -f1) bytes"
echo "time     $(((ended - begun) / 1000000)) ms"
[ "$green" = yes ] || { echo "demo: not all are equal" >&2; exit 1; }
echo "demo: OK, all equal"
