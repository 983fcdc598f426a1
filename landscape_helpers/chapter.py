"""What a chapter's notebook calls: its claims, its figures, its ledger, and the numbers of its regression run.

A chapter shows two things side by side: the *published* results, measured at the highest scale that is stored, and the
same runs computed here and now at the scale the notebook was given.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cached_property
from multiprocessing import get_context
from typing import Any

from .catalogue import RunSpec, load_catalogue
from .catalogue.model import check_profile
from .claims import ledger
from .data import check_dataset
from .figures.card import Card, card
from .figures.claims_table import ClaimsTable
from .figures.figure_group import FigureGroup
from .figures.ledger_table import LedgerTable
from .figures.runs_table import RunsTable
from .regression import Metrics
from .runner import check_seeds, compute, load, missing, validate
from .store import Store
from .watched import WATCHED


class Chapter:
    """One paper at one scale.

    On creation, every run of the paper that the scale has and the store lacks is computed, on all cores.

    Args:
        paper: key of the paper, ``"GO"``.
        profile: "smoke" (the embedded digits, a minute or two), "laptop" or "paper".
        data: data set of the explorers, as :func:`~landscape_helpers.data.load_data` takes it.
        seeds: of the runs computed here.

    Raises:
        ValueError, DataNotFoundError: a paper, profile, data set or seed that does not exist; before any work.
    """

    def __init__(
        self,
        paper: str,
        profile: str = "smoke",
        data: str | os.PathLike[str] = "digits",
        seeds: Sequence[int] = (0,),
    ) -> None:
        catalogue = load_catalogue()
        if paper not in catalogue.papers:
            raise ValueError(f"unknown paper {paper!r}: expected one of {', '.join(catalogue.papers)}")
        check_dataset(data)
        self.paper, self.profile, self.data, self.seeds = paper, check_profile(profile), data, check_seeds(seeds)
        self.store = Store()
        names = dict.fromkeys(run for f in catalogue.figures.values() if f.paper == paper for run in f.runs)
        self.specs: list[RunSpec] = [
            catalogue.spec(name, profile, seeds=self.seeds) for name in names if profile in catalogue.runs[name].scales
        ]
        compute_all(self.specs, self.store)

    def show(self, figure_id: str) -> Card:
        """A figure of the paper: as published, with the same figure computed here folded below it."""
        return card(figure_id, live=(self.profile, self.seeds))

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        """The paper's claims and checks, with their verdicts at the highest scale stored for each."""
        return ledger(paper=self.paper, store=self.store)

    def claims(self) -> ClaimsTable:
        """What came out: the paper's claims with their verdicts, a row each."""
        return ClaimsTable(self._rows)

    def group(self, about: str, *figure_ids: str) -> FigureGroup:
        """Figures that repeat one statement, each folded under its title and the counts of its verdicts.

        Args:
            about: what they show, as the end of a sentence.
        """
        return FigureGroup(about, [self.show(figure_id) for figure_id in figure_ids])

    def ledger(self) -> LedgerTable:
        """The checks that were derived from the paper's figures, folded, with their verdicts."""
        checks = [row for row in self._rows if row["kind"] != "claim"]
        return LedgerTable(rows=checks, folded=f"The {len(checks)} checks, which stand below each figure too")

    def configurations(self) -> RunsTable:
        """Every run of the paper, with its scale, its seeds and how it ended."""
        return RunsTable(self.paper, self.store)

    def record_metrics(self) -> Metrics:
        """Hand this page's own measurements to the regression run (:mod:`landscape_helpers.watched`)."""
        if unwatched := sorted({spec.experiment for spec in self.specs} - set(WATCHED)):
            raise ValueError(f"experiment {unwatched[0]!r} is not watched: enter it in WATCHED of watched.py")
        metrics = Metrics()
        for spec in self.specs:
            runs = load(spec, self.store)
            for seed in self.seeds:
                WATCHED[spec.experiment](metrics, runs.sel(seed=seed), f"{spec.run}, seed {seed}")
        return metrics


def compute_all(specs: Sequence[RunSpec], store: Store) -> None:
    """Compute what the store lacks, one run a process, each on one thread.

    Small networks gain nothing from a second thread, while several of them at once use every core.

    Raises:
        ValueError, FileNotFoundError: as :func:`~landscape_helpers.runner.validate`, before any work.
    """
    jobs = missing(specs, store)
    if not jobs:
        return
    validate(specs)
    # The longest first, so that no core ends up waiting for one late run.
    jobs.sort(key=lambda job: -(job.spec.pflop or 0.0))
    workers = min(os.cpu_count() or 1, len(jobs))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        for future in as_completed([pool.submit(compute, job, store) for job in jobs]):
            future.result()


def _one_thread() -> None:
    """For a worker beside as many others as there are cores: PyTorch's threads, and those of NumPy's BLAS."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(limits=1)
