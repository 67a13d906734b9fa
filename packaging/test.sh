#!/bin/sh
# Runs all that must hold before a change goes in: lint, format, types, import rules, shell syntax and every test.
#
#   sh packaging/test.sh                             everything, with the coverage gate
#   sh packaging/test.sh tests/tqnode -k claim       the checks, then pytest with these arguments and no gate
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
cd -- "$here/.."
venv=$PWD/.venv-test
coverage_percent_min=90
steps=6
now=''

step() {
    now="[$1/$steps] $2"
    printf '\n== %s\n' "$now"
}
beside=''
closing() {
    code=$?
    [ -z "$beside" ] || kill "$beside" 2>/dev/null || :
    [ "$code" = 0 ] || printf '\n== failed at %s (exit code %s)\n' "$now" "$code" >&2
}
trap closing EXIT

missing=''
# need PACKAGES CHECK...: PACKAGES are Debian's names for what makes CHECK succeed.
need() {
    packages=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $packages"
}
fake_time() {
    ls /usr/lib/*/faketime/libfaketimeMT.so.1
}
able_python() {
    command -v uv || "${PYTHON:-python3}" -c 'import ensurepip, venv'
}
install_missing() {
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        printf 'test: error: missing; as root on Debian or Ubuntu: apt-get install%s\n' "$missing" >&2
        exit 1
    fi
    printf 'test: installing with apt-get:%s\n' "$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of package names
    if ! said=$(apt-get update -qq 2>&1 && apt-get install -y -qq --no-install-recommends $missing 2>&1); then
        printf '%s\n' "$said" >&2
        exit 1
    fi
}

step 1 environment
need git command -v git
need curl command -v curl
need bash command -v bash
need systemd command -v systemd-analyze
need 'python3 python3-venv' able_python
need iproute2 command -v ip
need nftables command -v nft
need util-linux command -v nsenter
need strace command -v strace
need libfaketime fake_time
install_missing
sh "$here/env.sh" .venv-test requirements-test.lock
PATH=$venv/bin:$PATH
export PATH

step 2 lint
ruff check .
ruff format --check .

step 3 types
mypy

step 4 'import rules'
lint-imports

step 5 'shell scripts'
for script in packaging/*.sh .ci/run; do
    case $(head -n 1 "$script") in
        *bash*) bash -n "$script" ;;
        *) sh -n "$script" ;;
    esac
    echo "$script: syntax is sound"
done

step 6 tests
# How long the nodes of a real cluster are harmed at random.
CLUSTER_MINUTES=${CLUSTER_MINUTES:-8}
export CLUSTER_MINUTES
without=''
if [ "$(id -u)" != 0 ]; then
    echo 'test: tests/cluster is left out: only root may make the networks and mounts it needs'
    without='--ignore=tests/cluster'
fi
if [ $# -gt 0 ]; then
    # shellcheck disable=SC2086 # no word, or one
    python -m pytest $without "$@"
    exit
fi
# Clusters and processes mostly wait, so the tests that start neither go on beside theirs; only these are measured
# for coverage, since that makes each start of a process a slow one. What they say is shown after the others, as it
# comes: their closing line is the last one. A shell has its background ignore Ctrl-C, which some of them are about.
others=$(mktemp)
env --default-signal=INT python -m pytest --ignore=tests/cluster --ignore=tests/e2e \
    --cov --cov-report=term --cov-fail-under="$coverage_percent_min" >"$others" 2>&1 &
beside=$!
failed=0
[ -n "$without" ] || python -m pytest tests/cluster || failed=$?
python -m pytest tests/e2e || failed=$?
tail -n +1 -f --pid="$beside" "$others"
wait "$beside" || failed=$?
beside=''
rm -f "$others"
exit "$failed"
