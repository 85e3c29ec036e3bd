#!/usr/bin/env bash
# Data races: the library, and the standard library with it, instrumented with ThreadSanitizer, and
# the C programs run against it. Not a part of tests/run.sh, because few machines have what it needs:
# the source of Rust's standard library and clang. On Debian 13:
#
#   apt-get install rustc cargo rust-src clang libclang-rt-19-dev llvm
#   tests/c/tsan.sh [NAME...]
#
# Why not simpler: valgrind's helgrind and drd do not understand locks made of futexes and report
# every one of ours; ThreadSanitizer without an instrumented standard library reports its channels
# and reference counts.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
source=$(rustc --print sysroot)/lib/rustlib/src/rust/library
[ -d "$source" ] || { echo "no source of the standard library here (package rust-src)" >&2; exit 1; }
command -v clang >/dev/null || { echo "no clang here" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/tsan
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread cargo build --release --lib -Zbuild-std --target "$host"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$CARGO_TARGET_DIR/$host/release/libsyncline.so" "$work/libsyncline.so.0"
ln -s libsyncline.so.0 "$work/libsyncline.so"
compile() { clang -std=c11 -D_DEFAULT_SOURCE -g -fsanitize=thread -Iinclude "$1" -o "$2" -L"$work" -lsyncline -lpthread "-Wl,-rpath,$work"; }
export TSAN_OPTIONS="suppressions=$here/tsan.supp"

# The tool itself: it must find a race where there is one.
cat >"$work/race.c" <<'C'
#include <pthread.h>
static int shared;
static void *add(void *argument) { return shared++, argument; }
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, add, 0);
  shared++;
  return pthread_join(thread, 0);
}
C
compile "$work/race.c" "$work/race"
! "$work/race" 2>/dev/null || { echo "the sanitizer does not find a race" >&2; exit 1; }

cd "$here"
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(threads random_calls queue event document store client server)
for name in "${names[@]}"; do
  (cd ../.. && compile "$here/$name.c" "$work/$name")
  (cd "$work" && timeout 300 "./$name" 2>"$work/log") || { tail -n 80 "$work/log" >&2; exit 1; }
done
