#!/usr/bin/env bash
# Size of the shared library, release profile, stripped, for three sets of features; fails above the
# budgets of docs/architecture.md. Leaves the library with everything in the target directory.
set -euo pipefail
cd "$(dirname "$0")/.."
library=${CARGO_TARGET_DIR:-$PWD/target}/release/libsyncline.so
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
too_large=0

# report NAME BUDGET_BYTES CARGO_FLAGS...
report() {
  local name=$1 budget=$2 bytes
  shift 2
  cargo build --quiet --release --lib "$@"
  strip --strip-unneeded -o "$stripped" "$library"
  bytes=$(stat -c %s "$stripped")
  printf '%-34s %8d bytes  (budget %d)\n' "$name" "$bytes" "$budget"
  [ "$bytes" -le "$budget" ] || too_large=1
}

report "engine only" 1200000 --no-default-features
report "engine, client" 2500000 --no-default-features --features client
report "everything" 5000000
exit $too_large
