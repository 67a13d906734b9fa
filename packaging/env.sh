#!/bin/sh
# Makes, or re-uses, a private virtual environment that holds the locked packages and this clone (editable).
#
#   sh packaging/env.sh FOLDER LOCK      FOLDER lies under the clone; LOCK is a file in packaging/
#
# It uses uv if that is on PATH, else Python's own venv and pip. Every download is checked against the hashes
# in LOCK. PYTHON=/path/to/python chooses the interpreter. Needs no home folder.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
root=$(dirname -- "$here")
venv=$root/$1
lock=$here/$2
oldest='3.11'

say() { printf 'env: %s\n' "$*"; }
die() {
    printf 'env: error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf 'env:   %s\n' "$line" >&2; done
    exit 1
}

# Prints "MINOR ABLE PATH" of a Python 3; ABLE is "venv" when it can make environments by itself, else "bare".
describe() {
    "$1" - 2>/dev/null <<'PY'
import sys
assert sys.version_info >= (3, 5)
try:
    import ensurepip, venv
    able = "venv"
except ImportError:
    able = "bare"
print(sys.version_info[1], able, sys.executable)
PY
}

# The newest of the usual names wins, unless it lacks the venv module and another one has it.
find_python() {
    python='' python_minor=0 seen='' bare=''
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11; fi
    for name in "$@"; do
        facts=$(describe "$name") || continue
        minor=${facts%% *} rest=${facts#* }
        able=${rest%% *} path=${rest#* }
        seen="$seen $path (3.$minor)"
        [ "$minor" -ge "${oldest#3.}" ] || continue
        if [ "$able" = bare ] && [ -z "$uv" ]; then
            bare=$minor
        elif [ "$minor" -gt "$python_minor" ]; then
            python=$path python_minor=$minor
        fi
    done
    [ -z "$python" ] || return 0
    if [ -n "$bare" ]; then
        die "Python 3.$bare is here, but its venv module is not" \
            "on Debian and Ubuntu: apt-get install python3-venv   (python3.$bare-venv where several are installed)"
    fi
    die "tqnode needs Python $oldest or newer; found:${seen:- none}" \
        "on Debian 12, Ubuntu 24.04 and newer: apt-get install python3 python3-venv" \
        "or name another one: PYTHON=/path/to/python3.12 sh packaging/demo.sh"
}

settle_installers() {
    # A home that is missing or read-only must not stop the installers: they then work without a cache.
    cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
        export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1
    fi
    # Where the host has certificates of its own, an organisation's are among them; uv looks at its own only.
    if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
        export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}" UV_NATIVE_TLS="${UV_NATIVE_TLS:-1}"
    fi
    export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
    unset PYTHONHOME PYTHONPATH VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
}

# pip and uv take the same words here; only their names differ.
install() {
    if [ -n "$uv" ]; then
        "$uv" pip install --quiet --python "$venv/bin/python" "$@"
    else
        "$venv/bin/python" -m pip install --quiet "$@"
    fi
}

make() {
    say "making $venv with $python (3.$python_minor) and $with"
    rm -rf -- "$venv"
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "$python" "$venv"
    else
        "$python" -m venv "$venv"
    fi
    say "installing the packages of packaging/$2, checked by hash"
    install --require-hashes -r "$lock"
    cp -- "$lock" "$venv/installed.lock"
    # Scripts in the environment name its path: a moved clone needs a new one.
    printf '%s\n' "$venv" >"$venv/installed.at"
}

current() {
    [ -x "$venv/bin/python" ] && cmp -s -- "$lock" "$venv/installed.lock" &&
        [ "$(cat -- "$venv/installed.at" 2>/dev/null)" = "$venv" ] && "$venv/bin/python" -c '' 2>/dev/null
}

[ -f "$lock" ] || die "no such lock: $lock"
uv=$(command -v uv || true)
with=${uv:-venv and pip}
settle_installers
if current; then
    say "re-using $venv: packaging/$2 is unchanged"
else
    find_python
    make "$@"
fi
# The commands' entry points and the build settings come from pyproject.toml; the code itself is used in place.
if ! cmp -s -- "$root/pyproject.toml" "$venv/installed.pyproject"; then
    say "installing tqnode itself, in place"
    install --no-deps --no-build-isolation -e "$root"
    cp -- "$root/pyproject.toml" "$venv/installed.pyproject"
fi
say "ready: $venv"
