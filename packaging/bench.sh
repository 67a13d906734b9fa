#!/bin/sh
# Runs the benchmarks and prints tasks per second with their ratios to the baselines (see bench/README.md).
#
#   sh packaging/bench.sh                  all of them: five to ten minutes on a quiet machine
#   sh packaging/bench.sh -k http          pytest's arguments
#
# The databases go below .benchmarks in this clone; TQNODE_BENCH_DIR names another folder, on the disk to measure.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
cd -- "$here/.."
sh "$here/env.sh" .venv-test requirements-test.lock
exec .venv-test/bin/python -m pytest bench/bench_*.py --timeout=1800 --benchmark-disable-gc --benchmark-columns=rounds,median,iqr "$@"
