#!/usr/bin/env bash
# The benchmark: editing traces through Rust and through C, with a plain rope in the same run.
#
#   benches/run.sh                      automerge-paper, medians of 7 runs
#   benches/run.sh --trace NAME         another trace
#   benches/run.sh --peers              yrs and cola-crdt as well (slow)
#   benches/run.sh --runs N
set -euo pipefail
cd "$(dirname "$0")/.."
trace=automerge-paper
runs=7
features=()
while [ $# -gt 0 ]; do
  case $1 in
    --trace) trace=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --peers) features=(--features peers); shift ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
  esac
done
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release --lib
cargo build --quiet --release --manifest-path benches/Cargo.toml ${features[@]+"${features[@]}"}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
release=$CARGO_TARGET_DIR/release
cc -O2 -Wall -Wextra -Iinclude benches/c_traces.c -o "$work/c_traces" "$release/libsyncline.a" -lpthread -ldl -lm

"$release/traces" --trace "$trace" --runs "$runs" --lines "$work/lines" | tee "$work/table"
read -r time heap < <("$work/c_traces" "$work/lines" "$runs")
rope=$(awk '$1 == "jumprope" { print $2 }' "$work/table")
awk -v time="$time" -v heap="$heap" -v rope="$rope" 'BEGIN {
  printf "%-34s %10.2f %10s %9.2fx %10s %10.2f\n", "syncline, C interface", time, "", time / rope, "", heap
}'
