#!/usr/bin/env bash
# Fuzzes every target for SECONDS each (60 unless told), one after the other; no toolchain but the
# ordinary one is needed. Stops at the first finding and says where it is.
#
#   fuzz/run.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
export PATH="$PATH:$HOME/.cargo/bin"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
cargo fuzz build -s none -a
(cd fuzz && cargo run --quiet --release --example seeds)
for target in ${*:-codec messages import converge native}; do
  # New inputs go to the first folder; the second is the small one that is kept with the code.
  mkdir -p "fuzz/corpus/$target"
  cargo fuzz run -s none -a "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$seconds" -rss_limit_mb=4096 -print_final_stats=0 2>&1 |
    grep -E '^Done|panicked|^Test unit|ERROR' | sed "s/^/$target: /"
done
