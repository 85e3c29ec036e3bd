#!/usr/bin/env bash
# Size of the shared library, stripped, for three sets of features and the two profiles; fails above
# budgets. The engine's budget is for the profile `small`, the one for apps that count bytes; the
# others hold for the ordinary release. The budgets hold the line where it is: with all handlers,
# history, undo and the native form the library is larger than it is meant to be (1.2, 2.5 and
# 5 MB); "everything" holds TLS, too.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
too_large=0

# report NAME PROFILE BUDGET_BYTES CARGO_FLAGS...
report() {
  local name=$1 profile=$2 budget=$3 bytes
  shift 3
  # As install.sh: with the other kinds of library, too, there would be no link-time optimisation.
  cargo rustc --quiet --profile "$profile" --lib --crate-type cdylib "$@"
  strip --strip-unneeded -o "$stripped" "$target/$profile/libsyncline.so"
  bytes=$(stat -c %s "$stripped")
  printf '%-16s %-8s %8d bytes  (budget %d)\n' "$name" "$profile" "$bytes" "$budget"
  [ "$bytes" -le "$budget" ] || too_large=1
}

report "engine only" small 2320000 --no-default-features
report "engine, client" release 4130000 --no-default-features --features client
report "everything" release 8570000
exit $too_large
