#!/usr/bin/env bash
# The one test command: formats, lints, documentation, Rust tests, the header, C tests, the
# installed library, sizes, examples and the demo. Ends with a line "N passed, 0 failed", or stops
# at the first failure.
#
#   tests/run.sh          everything
#   tests/run.sh NAME...  only the parts whose names contain one of these
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"
. examples-c/setup.sh
need cargo ""
need cc gcc
need c++ g++
need make make
need strip binutils
need pkg-config pkg-config
# Better with it; the C tests say so when they go without.
(need valgrind valgrind) || echo "tests: going on without valgrind" >&2
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 ||
    rustup component add "$component" >/dev/null 2>&1 ||
    { echo "tests: the Rust component $component is missing: rustup component add $component" >&2; exit 1; }
done

log=$(mktemp)
header=$(mktemp)
trap 'rm -f "$log" "$header"' EXIT
passed=0
begun=$SECONDS
wanted=("$@")

# part NAME COMMAND...: runs it unless other parts were asked for; its own count of passed tests,
# if its output has one, else 1.
part() {
  local name=$1 started=$SECONDS count pattern
  shift
  if [ ${#wanted[@]} -gt 0 ]; then
    local asked=no
    for pattern in "${wanted[@]}"; do [[ $name != *"$pattern"* ]] || asked=yes; done
    [ $asked = yes ] || return 0
  fi
  printf '%-34s ' "$name"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    echo "FAILED"
    why >&2
    echo "failed: $name ($*)" >&2
    echo "$passed passed, 1 failed"
    exit 1
  fi
  count=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p; s/^ok [a-z_].*/1/p' "$log" | paste -sd+ - | sed 's/^$/1/')
  count=$((count))
  passed=$((passed + count))
  echo "ok  $count  ($((SECONDS - started)) s)"
  # What was left out, and why.
  sed -nE 's/^([a-z_]+) #[0-9]+ skipped: ([^:{]*): .*/\1: cases skipped: \2/p' "$log" | sort | uniq -c | sed 's/^ */    /'
  grep -E '^([^#]*: )?skipped: |^no .*(skipped|here)|^test .* \.\.\. ignored' "$log" | sort -u | sed 's/^/    /' || true
  grep -E '^    |bytes  \(budget' "$log" | grep -E 'bytes  \(budget' | sed 's/^/    /' || true
}

# What went wrong, of the output of a part: failed Rust tests, else the end of it.
why() {
  if grep -q '^failures:$' "$log"; then
    sed -n '/^failures:$/,/^test result: /p' "$log" | tail -n 400
  else
    grep -vE '^ +(Compiling|Checking|Documenting) ' "$log" | tail -n 120
  fi
}

# What part runs is the condition of an if, where no error ends the shell: each says so itself.
header_unchanged() {
  cargo build --quiet --lib || return 1
  if ! cmp "$header" include/syncline.h; then
    diff "$header" include/syncline.h | head -n 40 || true
    echo "include/syncline.h was not what src/capi makes: commit it as it is now"
    return 1
  fi
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git diff --exit-code include/syncline.h
  fi
}

# Every set of features is free of warnings, tests included.
lint() { cargo clippy --quiet --all-targets "$@" -- -D warnings; }

documentation() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --document-private-items; }

rust_tests() { RUST_BACKTRACE=1 cargo test --no-fail-fast "$@" -- --show-output; }

# Every small example prints what it promises; the small server starts and stops.
examples() {
  local out expected
  out=$(mktemp -d)
  make --quiet -C examples-c TARGET="${CARGO_TARGET_DIR:-$PWD/target}" OUT="$out" CFLAGS="-O1 -Werror" || return 1
  for expected in examples-c/expected/*; do
    "$out/$(basename "$expected")" | diff "$expected" - || return 1
  done
  serve_stops "$out/serve" || return 1
  rm -rf "$out"
}

# The small server tells its address, and SIGTERM ends it in order.
serve_stops() {
  local server address=
  "$1" >"$out/address" &
  server=$!
  for _ in $(seq 100); do
    address=$(cat "$out/address")
    [ -z "$address" ] || break
    sleep 0.05
  done
  kill -TERM $server
  wait $server
  [[ $address == ws://127.0.0.1:[1-9]* ]]
}

cp include/syncline.h "$header"
part "header is up to date" header_unchanged
part "format" cargo fmt --check
part "layers" tests/layers.sh
part "lint, everything" lint
part "lint, engine only" lint --no-default-features
part "lint, client only" lint --no-default-features --features client
part "lint, server only" lint --no-default-features --features server
part "lint, store only" lint --no-default-features --features sqlite
part "documentation" documentation
part "Rust tests" rust_tests
part "Rust tests, engine only" rust_tests --no-default-features --lib
part "sizes" tests/size.sh
part "exported names" tests/abi.sh
part "C tests" tests/c/run.sh
part "installed library" tests/install.sh
part "examples" examples
part "demo" examples-c/demo.sh
echo "time: $((SECONDS - begun)) s"
[ "$passed" -gt 0 ] || { echo "no part is called ${wanted[*]}" >&2; exit 1; }
echo "$passed passed, 0 failed"
