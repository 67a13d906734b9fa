#!/bin/sh
# Remakes the locks from pyproject.toml; needs uv. Pins stay as they are unless told otherwise:
#
#   sh packaging/lock.sh                          after a change of the dependencies
#   sh packaging/lock.sh --upgrade                the newest of everything
#   sh packaging/lock.sh --upgrade-package rich   the newest of one
set -eu

cd -- "$(dirname -- "$0")/.."
if ! command -v uv >/dev/null; then
    echo 'lock: error: uv is not on PATH; to get it: pip install uv' >&2
    exit 1
fi

# One lock serves every Python and processor that pyproject.toml names, so no address and no machine is in it.
# With their extras: of a package that another wants with one, pip else takes the newest, and refuses it for its hash.
compile() {
    out=$1
    shift
    uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --no-emit-index-url --no-emit-find-links --group build --custom-compile-command 'sh packaging/lock.sh' -o "$out" "$@"
    echo "lock: $out: $(grep -c '^[a-z0-9].*==' "$out") packages"
}

compile packaging/requirements.lock "$@"
# The tests must run what the demo runs.
compile packaging/requirements-test.lock --extra test -c packaging/requirements.lock "$@"
