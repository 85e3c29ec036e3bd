#!/bin/sh
# What the shared library promises: its soname, that it stays loaded, and its exported names.
#
#   tests/abi.sh            compares with abi/symbols.txt
#   tests/abi.sh --update   writes abi/symbols.txt
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
cargo build --release --lib
library=${CARGO_TARGET_DIR:-$root/target}/release/libsyncline.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$library" | awk '{ print $3 }' | LC_ALL=C sort >"$work/exported"
if grep -v '^syncline_' "$work/exported" >"$work/foreign"; then
  echo "the library exports names that are not syncline_*:" >&2
  cat "$work/foreign" >&2
  exit 1
fi
if [ "${1:-}" = --update ]; then
  cp "$work/exported" abi/symbols.txt
fi
if ! diff -u abi/symbols.txt "$work/exported"; then
  echo "exported names differ from abi/symbols.txt; if that is intended: tests/abi.sh --update" >&2
  exit 1
fi

abi=$(sed -n 's/^#define SYNCLINE_ABI //p' include/syncline.h)
readelf -d "$library" >"$work/dynamic"
grep -q "SONAME.*\[libsyncline.so.$abi\]" "$work/dynamic" || { echo "wrong soname" >&2; exit 1; }
grep -q 'NODELETE' "$work/dynamic" || { echo "the library can be unloaded under its threads" >&2; exit 1; }
# Every function of the header exists, and every exported name is declared.
grep -o 'syncline_[a-z0-9_]*(' include/syncline.h | tr -d '(' | LC_ALL=C sort -u >"$work/declared"
echo syncline_str >"$work/inline"
LC_ALL=C sort -u "$work/exported" "$work/inline" >"$work/known"
missing=$(LC_ALL=C comm -3 "$work/declared" "$work/known" | grep -v '_fn$' || true)
[ -z "$missing" ] || { echo "header and library differ: $missing" >&2; exit 1; }
# The committed header is what this build writes.
if git rev-parse --git-dir >/dev/null 2>&1; then
  git diff --exit-code -- include/syncline.h || { echo "commit include/syncline.h" >&2; exit 1; }
fi
echo "ok abi ($(wc -l <abi/symbols.txt) functions)"
