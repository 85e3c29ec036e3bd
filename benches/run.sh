#!/usr/bin/env bash
# The benchmarks.
#
#   benches/run.sh compare              Syncline beside other engines, each row against its target
#   benches/run.sh compare --runs N --only texts|branches|values|small|huge|reference
#   benches/run.sh                      one trace through Rust and through C (automerge-paper)
#   benches/run.sh --trace NAME         another trace
#   benches/run.sh --peers              yrs and cola-crdt as well (slow)
#   benches/run.sh --runs N
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
if [ "${1:-}" = compare ]; then
  shift
  cargo build --quiet --release --manifest-path benches/Cargo.toml --features peers --bin compare
  exec "$CARGO_TARGET_DIR/release/compare" "$@"
fi
trace=automerge-paper
runs=7
features=()
while [ $# -gt 0 ]; do
  case $1 in
    --trace) trace=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --peers) features=(--features peers); shift ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
  esac
done
cargo build --quiet --release --lib
cargo build --quiet --release --manifest-path benches/Cargo.toml --bin traces ${features[@]+"${features[@]}"}

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
