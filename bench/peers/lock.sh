#!/bin/sh
# Remakes the locks of the queues that the benchmark compares; needs uv. Pins stay as they are unless told otherwise:
#
#   sh bench/peers/lock.sh                        after a change of the .in files
#   sh bench/peers/lock.sh --upgrade              the newest of everything
set -eu

cd -- "$(dirname -- "$0")/../.."
for wanted in bench/peers/requirements*.in; do
    uv pip compile "$wanted" --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command 'sh bench/peers/lock.sh' \
        -o "${wanted%.in}.lock" "$@"
done
