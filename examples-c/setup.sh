# To be sourced by scripts: finds or installs the programs they need.
# need PROGRAM PACKAGE: ends the script, saying what to install, if it cannot be had. An empty
# package: the system's packages do not have it in the version we need.
need() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ -z "$2" ]; then
    echo "$0: $1 is missing; install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (https://rustup.rs)" >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "$0: installing $2" >&2
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null 2>&1; then
      apt-get update -qq >/dev/null 2>&1 || true
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null 2>&1 || true
    fi
    command -v "$1" >/dev/null 2>&1 && return 0
  fi
  echo "$0: $1 is missing; install it first: apt-get install $2" >&2
  exit 1
}
