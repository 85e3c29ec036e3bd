#!/bin/sh
# Installs into a temporary folder, moves the folder, and builds a program against it: with
# pkg-config (shared and static), and with CMake if there is one.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
PREFIX=/first DESTDIR="$work" "$root/install.sh"
mv "$work/first" "$work/moved"
prefix=$work/moved

cat >"$work/app.c" <<'END'
#include <syncline.h>
#include <stdio.h>
/* A SQLite and a personality function of the application's own. */
const char *sqlite3_libversion(void);
const char *sqlite3_libversion(void) { return "mine"; }
int main(void) {
  syncline_store *store = NULL;
  syncline_status status = syncline_store_open(SYNCLINE_STR("app.db"), NULL, &store);
  if (status < 0) fprintf(stderr, "%s\n", syncline_error_last()->message);
  syncline_store_free(store);
  puts(sqlite3_libversion());
  return status < 0 || syncline_library_check(SYNCLINE_ABI) < 0 || sqlite3_libversion()[0] != 'm';
}
END

cd "$work"
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
  # Word splitting is what pkg-config is made for.
  # shellcheck disable=SC2046
  $cc app.c $(pkg-config --cflags --libs syncline) -o shared
  LD_LIBRARY_PATH="$prefix/lib" ./shared
  $cc app.c $(pkg-config --cflags --libs --static syncline-static) -o static
  ./static
  if ldd static | grep -q libsyncline; then
    echo "the static program needs the shared library" >&2
    exit 1
  fi
  echo "ok pkg-config"
else
  echo "no pkg-config here: compiling with paths instead"
  $cc app.c -I "$prefix/include" -L "$prefix/lib" -lsyncline -o shared
  LD_LIBRARY_PATH="$prefix/lib" ./shared
  $cc app.c -I "$prefix/include" "$prefix/lib/libsyncline.a" -lgcc_s -lutil -lrt -lpthread -lm -ldl -o static
  ./static
fi

if command -v cmake >/dev/null; then
  cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(app C)
find_package(syncline 0.1 CONFIG REQUIRED)
foreach(kind shared static syncline)
  add_executable(app_${kind} app.c)
  target_link_libraries(app_${kind} PRIVATE syncline::${kind})
endforeach()
END
  cmake -S . -B build "-DCMAKE_PREFIX_PATH=$prefix" >cmake.log 2>&1 || { cat cmake.log >&2; exit 1; }
  cmake --build build >>cmake.log 2>&1 || { cat cmake.log >&2; exit 1; }
  for kind in shared static syncline; do "./build/app_$kind"; done
  echo "ok cmake"
else
  echo "no cmake here: skipped"
fi
# The examples, against what is installed.
if command -v make >/dev/null && command -v pkg-config >/dev/null; then
  make --quiet -C "$root/examples-c" PREFIX="$prefix" OUT="$work"
  [ "$(./quickstart)" = "Please buy milk and bread" ]
  echo "ok examples"
else
  echo "no make or pkg-config here: examples skipped"
fi
"$prefix/bin/syncline-server" --version
echo "ok install"
