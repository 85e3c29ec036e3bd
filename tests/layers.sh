#!/usr/bin/env bash
# The shape of the source: layers that know only those below them (docs/architecture.md), no C types
# and no unsafe code outside of src/capi, no file over 800 lines.
set -euo pipefail
cd "$(dirname "$0")/.."
wrong=0
say() {
  echo "$1" >&2
  wrong=1
}

# allow LAYER [BELOW...]: what the layer may name of the crate, besides itself.
allow() {
  local layer=$1 name
  local files=()
  shift
  [ ! -e "src/$layer.rs" ] || files+=("src/$layer.rs")
  [ ! -d "src/$layer" ] || files+=("src/$layer")
  [ ${#files[@]} -gt 0 ] || { say "layer $layer is gone: adapt tests/layers.sh"; return; }
  for name in $(grep -rhoE '\bcrate::(\{[^}]*\}|[a-z_]+)' "${files[@]}" | sed 's/crate:://' | grep -oE '[a-z_]+' | sort -u); do
    case " $layer testing $* " in
      *" $name "*) ;;
      *) say "$layer reaches up or aside to $name:"; grep -rnE "\bcrate::(\{[^}]*)?$name\b" "${files[@]}" >&2 || true ;;
    esac
  done
}

allow tree
allow clock tree
allow sequence clock tree
allow codec clock
allow replica clock codec
allow document clock codec replica sequence tree
allow sync clock codec replica
allow store clock codec replica document
allow net clock codec replica document sync store

# The wall clock needs one call of the C library that the standard library does not offer.
if grep -rnE '\bunsafe\b *(\{|fn|impl)|extern "C"' src --include='*.rs' | grep -vE '^src/(capi/|clock/wall\.rs:)'; then
  say "unsafe or C code outside of capi"
fi
# Sans I/O: the protocol gets the time and its randomness as arguments.
if grep -rnE 'std::(net|fs|thread)|Instant::now|SystemTime|getrandom|tokio' src/sync src/codec src/sequence src/tree; then
  say "I/O, a clock or randomness in a layer that must not have it"
fi

while read -r lines file; do
  [ "$file" = total ] || [ "$lines" -le 800 ] || say "$file has $lines lines; at most 800"
done < <(find src tests benches examples-c \( -name '*.rs' -o -name '*.c' -o -name '*.sh' \) -exec wc -l {} +)
exit $wrong
