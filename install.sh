#!/bin/sh
# Builds a release and installs it:
#
#   PREFIX=/usr/local DESTDIR= ./install.sh
#
#   include/syncline.h
#   lib/libsyncline.so.0, lib/libsyncline.so, lib/libsyncline.a
#   lib/pkgconfig/syncline.pc          cc app.c $(pkg-config --cflags --libs syncline)
#   lib/pkgconfig/syncline-static.pc   cc app.c $(pkg-config --cflags --libs --static syncline-static)
#   lib/cmake/syncline/                find_package(syncline CONFIG): syncline::shared, ::static
#   bin/syncline-server
#
# `pkg-config --static syncline` gives what the static library needs, but a linker that sees both
# libraries takes the shared one for -lsyncline; syncline-static names the archive itself.
# Everything installed finds itself relative to its own place, so the folder can be moved.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-/usr/local}
target=${DESTDIR:-}$prefix
cd "$root"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
abi=$(sed -n 's/^#define SYNCLINE_ABI //p' src/capi/prologue.h)

# One kind at a time: with all kinds in one go, cargo leaves link-time optimisation out.
cargo build --release --bin syncline-server
cargo rustc --release --lib --crate-type cdylib
cargo rustc --release --lib --crate-type staticlib
built=${CARGO_TARGET_DIR:-$root/target}/release

install -d "$target/include" "$target/lib/pkgconfig" "$target/lib/cmake/syncline" "$target/bin"
install -m 644 include/syncline.h "$target/include/syncline.h"
install -m 755 "$built/libsyncline.so" "$target/lib/libsyncline.so.$abi"
ln -sf "libsyncline.so.$abi" "$target/lib/libsyncline.so"
install -m 644 "$built/libsyncline.a" "$target/lib/libsyncline.a"
install -m 755 "$built/syncline-server" "$target/bin/syncline-server"

# Names of the archive that must not meet those of the application: the personality function of
# another Rust archive, and a SQLite of its own.
if command -v objcopy >/dev/null && command -v nm >/dev/null; then
  names=$(mktemp)
  nm --defined-only --extern-only "$target/lib/libsyncline.a" 2>/dev/null |
    awk '$3 ~ /^sqlite3/ { print $3, "syncline_internal_" $3 }' | sort -u >"$names"
  objcopy --weaken-symbol=rust_eh_personality --redefine-syms="$names" "$target/lib/libsyncline.a"
  rm -f "$names"
else
  echo "note: no objcopy here; do not link libsyncline.a beside another SQLite or Rust archive" >&2
fi

for file in syncline.pc syncline-static.pc; do
  sed "s/@VERSION@/$version/" "packaging/$file.in" >"$target/lib/pkgconfig/$file"
done
for file in synclineConfig.cmake synclineConfigVersion.cmake; do
  sed -e "s/@VERSION@/$version/" -e "s/@ABI@/$abi/" "packaging/$file.in" >"$target/lib/cmake/syncline/$file"
done
chmod 644 "$target"/lib/pkgconfig/syncline*.pc "$target"/lib/cmake/syncline/*.cmake
echo "installed syncline $version in $target"
