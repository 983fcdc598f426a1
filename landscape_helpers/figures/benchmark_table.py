"""The recorded benchmarks against public tools, as a table with bars that needs no JavaScript."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from ..store import published_folder

Row = Mapping[str, Any]

FOLDER = "benchmarks"
# What a benchmark calls its workloads and sides, as a reader should meet them.
WORKLOADS = {
    ("eigenpairs", "mlp"): "Top 20 eigenpairs, MLP 3072-128-10, 5,000 images",
    ("eigenpairs", "cnn"): "Top 20 eigenpairs, CNN of width 16, 1,000 images",
    ("eigenpairs", "cnn32"): "Top 20 eigenpairs, CNN of width 32, 1,000 images",
    ("surfaces", "mlp"): "Surface of 41 x 41 points, MLP 3072-128-10, 5,000 images",
    ("surfaces", "cnn"): "Surface of 41 x 41 points, CNN of width 16, 1,000 images",
    ("surfaces", "cnn32"): "Surface of 41 x 41 points, CNN of width 32, 1,000 images",
    ("surfaces", "curves"): "205 points of curves, BatchNorm statistics of all images at each, ResNet",
    ("density_trace", "density"): "Spectral density, 10 probes of 80 steps, MLP 3072-128-10, 5,000 images",
    ("density_trace", "trace"): "Trace of the Hessian, MLP 3072-128-10, 5,000 images",
}
SIDES = {
    "ours": "this package",
    "plain": "this package, on a user's plain module",
    "ours, deflated": "this package, leading pairs taken out first",
    "ours, whole": "this package, without the data's subspace",
    "pyhessian": "PyHessian",
    "curvlinops": "curvlinops",
    "eigenthings": "hessian-eigenthings",
    "loss-landscapes": "loss-landscapes",
    "loss-landscapes-whole": "loss-landscapes, all images in one batch",
}
STYLE = """
.lh-bench { --bar: #0072b2; --rule: #d8dce1; --soft: #555c66; font-size: 0.92rem; }
html[data-theme="dark"] .lh-bench, body[data-jp-theme-light="false"] .lh-bench {
  --bar: #56b4e9; --rule: #3a414b; --soft: #a5adb8; }
.lh-bench table { width: 100%; border-collapse: collapse; }
.lh-bench th, .lh-bench td { text-align: left; padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--rule);
  background: transparent; vertical-align: baseline; }
.lh-bench td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.lh-bench tbody th { padding-top: 1.2rem; }
.lh-bench .bar { display: inline-block; height: 0.7em; background: var(--bar); border-radius: 2px; }
.lh-bench .note { color: var(--soft); }
@media (max-width: 700px) { .lh-bench .wide { display: none; } }
"""


@dataclass(frozen=True)
class BenchmarkTable:
    """Seconds of each tool for the same work at the same accuracy, from one run on one thread.

    Attributes:
        rows: with ``benchmark``, ``workload``, ``side``, ``seconds``, ``ratio`` (to ours) and what each measures of
            accuracy, products and memory.
        note: versions and what the seconds are.
    """

    rows: Sequence[Row]
    note: str = ""

    def __str__(self) -> str:
        lines = []
        for (benchmark, workload), group in self._groups():
            lines.append(_title(benchmark, workload))
            for row in group:
                lines.append(f"  {_side(row):42} {row['seconds']:9.2f} s {row['ratio']:7.2f} x  {_accuracy(row)}")
        return "\n".join([*lines, self.note]) if lines else "No benchmark has been recorded: run `make bench`."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(str(self))}</p>"
        longest = max(math.log10(max(row["ratio"], 1.0)) for row in self.rows) or 1.0
        body = "".join(
            f'<tbody><tr><th scope="rowgroup" colspan="5">{escape(_title(*key))}</th></tr>'
            + "".join(_html_row(row, longest) for row in group)
            + "</tbody>"
            for key, group in self._groups()
        )
        head = (
            '<th scope="col">tool</th><th scope="col">seconds</th><th scope="col">times ours</th>'
            '<th scope="col">accuracy</th><th scope="col" class="wide">memory</th>'
        )
        return (
            f'<div class="lh-bench"><style>{STYLE}</style><table><thead><tr>{head}</tr></thead>{body}</table>'
            f'<p class="note">Bars are logarithmic. {escape(self.note)}</p></div>'
        )

    def _groups(self) -> list[tuple[tuple[str, str], list[Row]]]:
        def key(row: Row) -> tuple[str, str]:
            return row["benchmark"], row["workload"]

        return [(k, list(group)) for k, group in groupby(self.rows, key=key)]


def benchmark_table(folder: str | Path | None = None) -> BenchmarkTable:
    """The recorded benchmarks.

    Args:
        folder: where their JSON files lie; by default beside the published results.
    """
    base = Path(folder) if folder is not None else (published_folder() or Path()) / FOLDER
    rows: list[Row] = []
    versions: set[str] = set()
    for file in sorted(base.glob("*.json")):
        record = json.loads(file.read_text("utf-8"))
        if "rows" not in record:  # a benchmark without other tools to compare with
            continue
        versions.add(str(record["torch"]))
        rows += [{"benchmark": file.stem, **row} for row in record["rows"]]
    note = f"Processor seconds of one thread, torch {', '.join(sorted(versions))}; ratios carry over, seconds do not."
    return BenchmarkTable(rows, note)


def _title(benchmark: str, workload: str) -> str:
    return WORKLOADS.get((benchmark, workload), f"{benchmark}: {workload}")


def _side(row: Row) -> str:
    name = str(row["side"])
    return SIDES.get(name, name)


def _html_row(row: Row, longest: float) -> str:
    width = 8.0 * math.log10(max(row["ratio"], 1.0)) / longest
    memory = f"{row['peak_mib']:,.0f} MiB" if "peak_mib" in row else ""
    return (
        f"<tr><td>{escape(_side(row))}</td><td class=n>{row['seconds']:,.2f}</td>"
        f'<td class=n>{row["ratio"]:,.1f} <span class="bar" style="width: {width:.2f}em"></span></td>'
        f'<td>{escape(_accuracy(row))}</td><td class="n wide">{memory}</td></tr>'
    )


def _accuracy(row: Row) -> str:
    """What the side reached, in the terms of its benchmark."""
    parts = []
    if row.get("max_residual") is not None:
        parts.append(f"largest relative residual {row['max_residual']:.1e}")
    if row.get("error") is not None:
        parts.append(f"within {row['error']:.0e} of double precision")
    if row.get("trace_deviation") is not None:
        exact = row["trace"] / (1 + row["trace_deviation"])
        probes = f" (standard error {row['trace_error'] / exact:.2%})" if row.get("trace_error") else ""
        parts.append(f"trace off by {row['trace_deviation']:+.2%}{probes}")
        if row.get("lost"):
            parts.append(f"{row['lost'] / exact:.2%} of it known to be left out")
    if row.get("products"):
        cheap = f" and {row['cheap_products']} in a subspace" if row.get("cheap_products") else ""
        parts.append(f"{row['products']:,} products{cheap}")
    return ", ".join(parts)
