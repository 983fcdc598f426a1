"""The command line: list, run, claims, regress, verify, doctor.

Exit status: 0 done; 1 something that was run failed, or a regression drifted; 2 a request that cannot be met, said in
one line before any work; 130 interrupted. torch is imported only by the commands that compute.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, _json
from .catalogue import PROFILES
from .catalogue.loader import read_yaml
from .catalogue.model import check_profile
from .fingerprint import PACKAGE
from .store import Store

PROGRAM = f"python -m {PACKAGE}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as every other refusal."""
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has seen enough; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Loss landscapes: figures, claims and their runs.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    profiles = " | ".join(PROFILES)

    p = commands.add_parser("list", help="every figure and run, with cost and state at each scale")
    p.add_argument("--json", action="store_true")
    p.add_argument("--out", metavar="DIR", help="look for results here first")
    p.set_defaults(command=_list)

    p = commands.add_parser("run", help="compute and store the runs of figures")
    p.add_argument("ids", nargs="+", metavar="ID", help="figure (GO-F02) or run (cnn)")
    p.add_argument("--profile", default="smoke", metavar=profiles)
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter; YAML values")
    p.add_argument("--seeds", metavar="0,1,2", help="instead of the catalogue's")
    p.add_argument("--out", metavar="DIR", help="write netCDF here, and look here first")
    p.add_argument("--device", default="cpu", help="torch device, such as cuda")
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads for torch")
    p.add_argument("--again", action="store_true", help="compute even what is stored")
    p.set_defaults(command=_run)

    p = commands.add_parser("claims", help="the ledger: what the papers state, what was measured, the verdict")
    p.add_argument("--json", action="store_true")
    p.add_argument("--profile", metavar=profiles, help="default: for each row the highest that is stored")
    p.add_argument("--paper", metavar="KEY", help="one paper only, such as GO")
    p.add_argument("--out", metavar="DIR", help="look for results here first")
    p.set_defaults(command=_claims)

    p = commands.add_parser("regress", help="execute chapters and compare their metrics with the baselines")
    p.add_argument("ids", nargs="*", metavar="ID", help="chapter, by file name")
    p.add_argument("--update", action="store_true", help="take the measured values as baselines")
    p.add_argument("--profile", default="smoke", metavar=profiles)
    p.add_argument("--data", metavar="NAME", help="data set instead of the chapter's")
    p.add_argument("--seeds", metavar="0,1,2", help="instead of the chapter's")
    p.add_argument("--timeout", type=float, default=900.0, metavar="S", help="seconds a cell may take (900)")
    p.set_defaults(command=_regress)

    p = commands.add_parser("verify", help="re-validate stale descents by recomputing their first steps")
    p.add_argument("ids", nargs="*", metavar="ID", help="figure or run; all by default")
    p.add_argument("--profile", metavar=profiles, help="one scale only")
    p.add_argument("--out", metavar="DIR", help="look for results here first")
    p.set_defaults(command=_verify)

    p = commands.add_parser("doctor", help="what this machine has, and what it could run")
    p.add_argument("--json", action="store_true")
    p.set_defaults(command=_doctor)
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from .listing import overview

    rows = overview(Store(arguments.out))
    if arguments.json:
        print(_json.dumps(rows))
        return 0
    for row in rows:
        states = []
        for profile, at in row["profiles"].items():
            cost = "" if at["cost"]["pflop"] is None else f" {at['cost']['pflop']:.3g} PFLOP"
            states.append(f"{profile}: {at['state']}{cost}")
        print(f"{row['id']:26} {row['title']}\n{'':26} {'; '.join(states)}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from . import runner

    check_profile(arguments.profile)
    overrides, seeds = _overrides(arguments.set), _seeds(arguments.seeds)
    specs = runner.specs_for(arguments.ids, arguments.profile, overrides, seeds)
    if arguments.threads is not None and arguments.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {arguments.threads}")
    if arguments.out is not None and Path(arguments.out).exists() and not Path(arguments.out).is_dir():
        raise ValueError(f"--out must be a folder, got the file {arguments.out}")
    runner.validate(specs)
    _prepare_torch(arguments.device, arguments.threads)

    store = Store(arguments.out)
    wanted = [runner.Job(spec, seed) for spec in specs for seed in spec.seeds]
    jobs = wanted if arguments.again else runner.missing(specs, store)
    for job in wanted:
        found = store.find(job.spec, job.seed)
        if job not in jobs and found is not None:
            print(f"stored: {store.adopt(found)}")
    if jobs:
        print(_announcement(jobs), file=sys.stderr)
    return max((_compute(job, store, arguments.device, arguments.again) for job in jobs), default=0)


def _compute(job: Any, store: Store, device: str, again: bool) -> int:
    from tqdm import tqdm

    from . import runner

    steps = job.spec.parameters.get("steps")
    unit = "part" if steps is None else "step"
    bar = tqdm(total=steps, desc=f"{job.spec.run} s{job.seed}", unit=unit, disable=None)

    def progress(_: Any, done: int, total: int, loss: float) -> None:
        bar.total = total
        bar.update(done - bar.n)
        bar.set_postfix(loss=f"{loss:.4g}", refresh=False)

    try:
        with bar:
            path = runner.compute(job, store, device, progress, again=again)
    except KeyboardInterrupt:
        checkpoint = store.checkpoint(job.spec, job.seed)
        kept = f"kept up to its last checkpoint, {checkpoint}" if checkpoint.exists() else "had no checkpoint yet"
        print(f"\ninterrupted: {job} {kept}; the same command goes on from there", file=sys.stderr)
        raise SystemExit(130) from None
    except (RuntimeError, MemoryError, OSError) as error:
        print(f"error: {job} failed: {' '.join(str(error).split())}{_way_out(job, error)}", file=sys.stderr)
        return 1
    status = runner.status_of(path)
    print(f"written: {path}" + ("" if status == "completed" else f" ({status})"))
    return 0


def _way_out(job: Any, error: Exception) -> str:
    """What a run that does not fit the memory can be given less of."""
    if not isinstance(error, MemoryError) and "out of memory" not in str(error):
        return ""
    sizes = ("batch_size", "eval_batch", "spectrum_images", "n_eval")
    smaller = [name for name in sizes if job.spec.parameters.get(name)]
    return f"; set {' or '.join(smaller)} lower with --set, or take another device" if smaller else ""


def _announcement(jobs: Sequence[Any]) -> str:
    costs = [job.spec.pflop for job in jobs]
    counted = [c for c in costs if c is not None]
    known = sum(counted)
    cost = f"{known:.3g} PFLOP" + " and more of unknown cost" * (None in costs) if counted else "of unknown cost"
    gpu_hours = f", about {known / 108:.2g} GPU-hours at 30 TFLOP/s" if known >= 1 else ""
    return f"to compute: {len(jobs)} result{'s' * (len(jobs) != 1)}, {cost}{gpu_hours}"


def _prepare_torch(device: str, threads: int | None) -> None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}: expected cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not available here: torch {torch.__version__} sees no CUDA device")
    if threads is not None:
        torch.set_num_threads(threads)


def _claims(arguments: argparse.Namespace) -> int:
    from .claims import ledger

    rows = ledger(arguments.profile, arguments.paper, Store(arguments.out))
    if arguments.json:
        print(_json.dumps(rows))
        return 0
    for row in rows:
        stale = ", by earlier code" if row["stale"] else ""
        scale = f" [{row['profile']}{stale}]" if row["profile"] else ""
        print(f"{row['id']:10} {row['verdict']:15}{scale} {row['statement']}")
        detail = row["measured_text"] or row["reason"]
        print(f"{'':10} {detail}" + (f"  margin {row['margin']:.3g}" if row["margin"] == row["margin"] else ""))
    return 0


def _regress(arguments: argparse.Namespace) -> int:
    from .regression import Plan, regress

    plan = Plan(
        profile=arguments.profile, data=arguments.data, seeds=_seeds(arguments.seeds), timeout=arguments.timeout
    )
    reports = regress(arguments.ids, update=arguments.update, plan=plan)
    for report in reports:
        print(f"{report.notebook}: {'baseline updated' if report.updated else 'passed' if report.passed else 'FAILED'}")
        if report.failure:
            print(f"  {report.failure}")
        for c in report.comparisons:
            if c.outcome != "ok":
                print(f"  {c.outcome}: {c.quantity}: {c.value} (baseline {c.baseline}, allowed {c.allowed})")
    print(f"report: {plan.folder / 'report.md'}")
    return 0 if all(report.passed for report in reports) else 1


def _verify(arguments: argparse.Namespace) -> int:
    from .verify import verify

    profiles = PROFILES if arguments.profile is None else (check_profile(arguments.profile),)
    checked = 0
    failed = 0
    for result in verify(arguments.ids, profiles, Store(arguments.out)):
        checked += 1
        failed += not result.identical
        print(f"{result.job}: {result.message}")
    print(f"{checked} stale, {checked - failed} verified")
    return 1 if failed else 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import examine

    found = examine()
    if arguments.json:
        print(_json.dumps(found))
        return 0
    print(f"{PACKAGE} {found['package']}, Python {found['python']}, torch {found['torch']}")
    print(f"{found['device']}, {found['cores']} cores, {found['memory_gb']} GB, {found['gflop_per_s']} GFLOP/s")
    for name, at in found["data"].items():
        images = "" if at["train_images"] is None else f" ({at['train_images']:,} training images)"
        problem = f", which cannot be read: {at['problem']}" if "problem" in at else ""
        print(f"data {name}: {at['found'] or 'not found'}{images}{problem}")
    for profile, able in found["profiles"].items():
        left = able["seconds_for_what_is_missing"]
        print(f"{profile}: {len(able['runnable'])} runs possible, about {left:,} s for what is not stored")
        for reason, names in able["obstacles"].items():
            print(f"  {len(names)} not: {reason}")
    return 0


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """``name=value`` with YAML values; ``model_options.width=4`` sets one option."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--set expects name=value, got {pair!r}")
        try:
            value = read_yaml(text)
        except ValueError as error:
            raise ValueError(f"--set {name}: {text!r} is not a YAML value") from error
        group, dot, option = name.partition(".")
        if dot:
            changes.setdefault(group, {})[option] = value
        else:
            changes[name] = value
    return changes


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--seeds expects whole numbers with commas between them, got {text!r}") from error
