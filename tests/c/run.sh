#!/bin/sh
# Builds the library and every C program of this folder, and runs them: plain, under valgrind (if
# there is one), and with the address and undefined-behaviour sanitizers of the C compiler.
#
#   tests/c/run.sh [NAME...]      all programs, or those named
#   SYNCLINE_MODES="plain" tests/c/run.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
modes=${SYNCLINE_MODES:-header symbols plain valgrind sanitizers}
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$root"
cargo build --release --lib
built=${CARGO_TARGET_DIR:-$root/target}/release
# Programs look for the library under its soname.
lib=$work/lib
mkdir "$lib"
cp "$built/libsyncline.so" "$lib/libsyncline.so.0"
ln -s libsyncline.so.0 "$lib/libsyncline.so"
warnings="-Wall -Wextra -Wpedantic -Werror"

check_header() {
  printf '#include "syncline.h"\nint main(void) { return (int)syncline_library_check(SYNCLINE_ABI); }\n' >"$work/alone.c"
  cp "$work/alone.c" "$work/alone.cpp"
  for compiler in gcc clang clang-14; do
    command -v $compiler >/dev/null || continue
    for standard in c99 c11; do
      $compiler -std=$standard $warnings -I include -c "$work/alone.c" -o "$work/alone.o"
    done
  done
  for compiler in g++ clang++ clang++-14; do
    command -v $compiler >/dev/null || continue
    $compiler -std=c++11 $warnings -I include -c "$work/alone.cpp" -o "$work/alone.o"
  done
  echo "ok header"
}

# Every exported function is called somewhere here.
check_symbols() {
  nm -D --defined-only "$lib/libsyncline.so" | awk '{ print $3 }' | sort >"$work/exported"
  missing=0
  while read -r symbol; do
    grep -qw "$symbol" "$here"/*.c "$here"/*.h || { echo "no test calls $symbol" >&2; missing=1; }
  done <"$work/exported"
  [ $missing = 0 ]
  echo "ok symbols ($(wc -l <"$work/exported") functions)"
}

build() { # mode, flags...
  mode=$1
  shift
  for name in $programs; do
    $cc -std=c11 -D_DEFAULT_SOURCE -g $warnings "$@" -I include "$here/$name.c" -o "$work/$name-$mode" \
      -L "$lib" -lsyncline -lpthread "-Wl,-rpath,$lib"
  done
}

if [ $# -gt 0 ]; then
  programs=$*
else
  programs=$(cd "$here" && ls -- *.c | sed 's/\.c$//')
fi

for mode in $modes; do
  case $mode in
    header) check_header ;;
    symbols) [ $# -gt 0 ] || check_symbols ;;
    plain)
      build plain
      for name in $programs; do (cd "$work" && timeout 120 "./$name-plain"); done
      ;;
    valgrind)
      command -v valgrind >/dev/null || { echo "no valgrind here: skipped"; continue; }
      build valgrind
      for name in $programs; do
        # Threads take turns: without that, one can be kept waiting for as long as the others run.
        (cd "$work" && timeout 600 valgrind --quiet --fair-sched=yes --error-exitcode=99 --leak-check=full \
          --show-leak-kinds=definite --errors-for-leak-kinds=definite \
          --suppressions="$here/valgrind.supp" "./$name-valgrind")
      done
      ;;
    sanitizers)
      build sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all
      for name in $programs; do
        (cd "$work" && ASAN_OPTIONS=detect_leaks=1 timeout 300 "./$name-sanitizers")
      done
      ;;
    *) echo "unknown mode $mode" >&2; exit 2 ;;
  esac
  echo "== $mode done"
done
