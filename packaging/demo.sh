#!/bin/sh
# Starts a node and a worker in a temporary folder and shows real tasks being done.
#
#   sh packaging/demo.sh            stays up until Ctrl-C
#   sh packaging/demo.sh --once     exits 0 when all tasks are done, 1 if any is not
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
sh "$here/env.sh" .venv requirements.lock
exec "$(dirname -- "$here")/.venv/bin/tqnode" demo "$@"
