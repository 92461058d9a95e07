#!/usr/bin/env bash
# Feed each fuzz target for so many seconds: first what is kept (corpus, crashes), then what libFuzzer makes of it.
# What breaks something is kept in crashes/, for ever; what is only new stays out of the way, in .make/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1 fuzz=$2
# The store has no unsafe code; SANITIZER=address looks into that of arrow and parquet, and takes longer to build.
sanitizer=${SANITIZER:-none}
export RUSTUP_TOOLCHAIN=nightly RUSTUP_AUTO_INSTALL=0

if ! cargo --version >/dev/null 2>&1; then
    echo "SKIP: fuzzing needs a nightly toolchain (rustup toolchain install nightly --profile minimal)"
    exit 0
fi
# Pinned, as all that is installed here.
if ! test -x "$fuzz" && ! cargo install --quiet --locked --root "${fuzz%/bin/*}" --version 0.13.2 cargo-fuzz; then
    echo "SKIP: cargo-fuzz cannot be installed"
    exit 0
fi

memory=$PWD/.make/fuzz
mkdir -p "$memory"
if [ -d /dev/shm ]; then memory=/dev/shm; fi
TMPDIR=$(mktemp -d -p "$memory" llem-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

"$fuzz" build --dev --sanitizer "$sanitizer"
# What a file talks somebody into allocating shows as a crash; the sanitizer's own memory is not counted.
if [ "$sanitizer" = none ]; then ulimit -v 4194304; fi
for target in name footer projection scan; do
    new=.make/fuzz/$target log=.make/fuzz/$target.log
    mkdir -p "$new" "fuzz/crashes/$target"
    "$fuzz" run --dev --sanitizer "$sanitizer" "$target" "$new" "fuzz/corpus/$target" "fuzz/crashes/$target" -- \
        -artifact_prefix="fuzz/crashes/$target/" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 \
        >"$log" 2>&1 || {
        tail -n 60 "$log"
        echo "$target: what broke it is kept in fuzz/crashes/$target"
        exit 1
    }
    echo "$target: $(grep '^Done ' "$log")"
done
