"""Faults among the nodes of a real cluster, for as long as one likes.

    python -m tests.cluster --minutes 90 --seed 7 --report cluster.json

Needs root, iproute2, nftables, util-linux and libfaketime. Ends with 1 if a promise was broken; the folder
with every node's log and data and all histories is then kept.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.cluster.faults import FAULTS
from tests.cluster.run import Plan, run


def main() -> int:
    """Runs; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8, help="how long faults go on")
    parser.add_argument("--seed", default=str(secrets.randbelow(1_000_000)), help="of all choices")
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 3, 5))
    parser.add_argument("--kinds", default="", help=f"of faults, by comma: {', '.join(FAULTS)}")
    parser.add_argument("--no-loss", action="store_true", help="never take the majority away")
    parser.add_argument("--power", action="store_true", help="on disks that forget what was not fsynced")
    parser.add_argument("--report", type=Path, help="file for the report, as JSON")
    parser.add_argument("--folder", type=Path, help="for all files; by default one that goes after success")
    options = parser.parse_args()
    kinds = [kind.strip() for kind in options.kinds.split(",") if kind.strip()]
    if unknown := set(kinds) - FAULTS.keys():
        parser.error(f"no such kind of fault: {', '.join(sorted(unknown))}")
    print(f"seed {options.seed}", flush=True)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="tqnode-cluster-"))
    folder.mkdir(exist_ok=True)
    plan = Plan(
        seconds=options.minutes * 60,
        seed=options.seed,
        nodes=options.nodes,
        kinds=kinds,
        losses=not options.no_loss,
        power=options.power,
    )
    try:
        report = run(plan, folder, lambda what: print(what, flush=True))
    except BaseException:
        print(f"everything is in {folder}", file=sys.stderr, flush=True)
        raise
    if options.report:
        report.write(options.report)
    print("\n".join(report.lines()))
    if report.violations:
        print(f"everything is in {folder}", file=sys.stderr)
        return 1
    if not options.folder:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
