#!/usr/bin/env bash
# Installs into a temporary prefix and builds programs against it as a stranger would: with
# pkg-config, dynamically and statically, in C and in C++. Runs them without any help from the
# environment.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
PREFIX=$prefix ./install.sh >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

expected="Please buy milk and bread"
# run PROGRAM: it must print what the quick start prints.
run() {
  local got
  got=$("$1")
  [ "$got" = "$expected" ] || { echo "$1 printed: $got" >&2; exit 1; }
}

read -ra flags <<<"$(pkg-config --cflags --libs syncline)"
cc examples-c/quickstart.c "${flags[@]}" "-Wl,-rpath,$prefix/lib" -o "$work/dynamic"
run "$work/dynamic"
ldd "$work/dynamic" | grep -q "$prefix/lib/libsyncline.so.0"

read -ra flags <<<"$(pkg-config --cflags --libs --static syncline-static)"
cc examples-c/quickstart.c "${flags[@]}" -o "$work/static"
run "$work/static"
! ldd "$work/static" | grep -q libsyncline

cat >"$work/app.cpp" <<'CPP'
#include <cstdio>
#include <syncline.h>
int main() {
  syncline_document *document = nullptr;
  if (syncline_library_check(SYNCLINE_ABI) < 0 || syncline_document_new(nullptr, &document) < 0) return 1;
  syncline_document_free(document);
  std::puts("Please buy milk and bread");
}
CPP
read -ra flags <<<"$(pkg-config --cflags --libs syncline)"
c++ "$work/app.cpp" "${flags[@]}" "-Wl,-rpath,$prefix/lib" -o "$work/cpp"
run "$work/cpp"

# All examples against the installed library, and the prefix may be moved.
mv "$prefix" "$work/moved"
make --quiet -C examples-c PREFIX="$work/moved" OUT="$work"
run "$work/quickstart"
"$work/moved/bin/syncline-server" --version | grep -q '^syncline-server '
