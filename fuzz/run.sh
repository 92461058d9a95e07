#!/usr/bin/env bash
# Run each fuzz target for a number of seconds, on the corpus and the kept crashes first; 0 only compiles them.
# An input that crashes a target is kept in fuzz/crashes/; an input that only adds coverage goes to .make/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1 fuzz=$2
# SANITIZER=address checks the unsafe code of arrow and parquet, and builds for longer. The store has none.
sanitizer=${SANITIZER:-none}
export RUSTUP_TOOLCHAIN=nightly RUSTUP_AUTO_INSTALL=0

if ! cargo --version >/dev/null 2>&1; then
    echo "SKIP: fuzzing needs a nightly toolchain (rustup toolchain install nightly --profile minimal)"
    exit 0
fi
if ! test -x "$fuzz" && ! cargo install --quiet --locked --root "${fuzz%/bin/*}" --version 0.13.2 cargo-fuzz; then
    echo "SKIP: cargo-fuzz could not be installed"
    exit 0
fi

memory=$PWD/.make/fuzz
mkdir -p "$memory"
if [ -d /dev/shm ]; then memory=/dev/shm; fi
TMPDIR=$(mktemp -d -p "$memory" llem-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

"$fuzz" build --dev --sanitizer "$sanitizer"
if [ "$seconds" = 0 ]; then exit 0; fi
# The limit turns an excessive allocation into a crash. A sanitizer reserves more address space than the limit.
if [ "$sanitizer" = none ]; then ulimit -v 4194304; fi
for target in name footer projection scan; do
    new=.make/fuzz/$target log=.make/fuzz/$target.log
    mkdir -p "$new" "fuzz/crashes/$target"
    "$fuzz" run --dev --sanitizer "$sanitizer" "$target" "$new" "fuzz/corpus/$target" "fuzz/crashes/$target" -- \
        -artifact_prefix="fuzz/crashes/$target/" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 \
        >"$log" 2>&1 || {
        tail -n 60 "$log"
        echo "$target: failed; the input is kept in fuzz/crashes/$target"
        exit 1
    }
    echo "$target: $(grep '^Done ' "$log")"
done
