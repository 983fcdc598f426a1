"""What a catalogue holds, as frozen objects."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .cost import run_pflop

PROFILES = ("smoke", "laptop", "paper")  # in ascending order: the last one stored is the one shown
Level = Literal["reproduced", "partly"]


@dataclass(frozen=True)
class Scale:
    """One run at one profile.

    Attributes:
        parameters: every parameter of the experiment, complete.
        seeds: of the initialisation.
        note: how the run is reduced against the paper's setting, in words.
    """

    parameters: Mapping[str, Any]
    seeds: tuple[int, ...]
    note: str


@dataclass(frozen=True)
class RunSpec:
    """What is computed and stored as one file per seed: a run at a profile, possibly with parameters overridden.

    Attributes:
        overridden: names of the parameters that differ from the catalogue's; such results never stand for it.
    """

    run: str
    profile: str
    experiment: str
    network: str
    parameters: Mapping[str, Any]
    seeds: tuple[int, ...]
    note: str
    overridden: tuple[str, ...] = ()

    @property
    def pflop(self) -> float | None:
        """Cost of one seed in 10^15 floating-point operations; None for a network of unknown cost."""
        return run_pflop(self.parameters, self.experiment)


@dataclass(frozen=True)
class Run:
    """One training run, shared by every figure that shows a part of it.

    Attributes:
        scales: by profile; a profile that is absent cannot be run, and ``unavailable`` says why.
        paper_steps: K of the paper's run where the experiment is one descent, None where it is none or K is not stated.
            The learning rate is the paper's at every scale, so that step k is epoch k; a run with fewer steps is the
            first part of the paper's.
    """

    name: str
    experiment: str
    network: str
    scales: Mapping[str, Scale]
    unavailable: Mapping[str, str]
    paper_steps: int | None = None


@dataclass(frozen=True)
class Measurement:
    """A named number taken from one run: a function of :mod:`landscape_helpers.claims.measures` and its arguments.

    Attributes:
        optional: a missing run leaves this number unknown instead of leaving the whole claim "not run".
    """

    name: str
    measure: str
    run: str
    arguments: Mapping[str, Any]
    optional: bool = False


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or one of its figure's checks, with the predicates that decide it.

    Attributes:
        basis: "P" for a number or statement of the paper, "C" for a threshold that makes a qualitative statement
            testable, "P+C" for both, "ours" for a question the paper does not ask.
        figures: where the evidence stands.
        predicates: by level, "reproduced" and for claims also "partly"; expressions over the measurements' names.
        paper_value: what the paper gives, where that differs from what is accepted.
        common_steps: the runs are compared over the steps that all of them have.
        short: a claim in fewer words, for the table near the top of its chapter.
        kind: "check" of a figure or "claim" of the paper.
    """

    id: str
    paper: str
    kind: str
    basis: str
    figures: tuple[str, ...]
    statement: str
    measurements: tuple[Measurement, ...]
    predicates: Mapping[Level, str]
    paper_value: str | None = None
    remark: str | None = None
    common_steps: bool = False
    short: str | None = None

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.run for m in self.measurements))


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, or one added here.

    Attributes:
        reported: what the paper says of it, in our words.
        presentation: what the drawing needs to know beside the runs, such as which layers are shown.
    """

    id: str
    paper: str
    title: str
    what: str
    reported: str
    runs: tuple[str, ...]
    checks: tuple[Claim, ...]
    presentation: Mapping[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """Every paper's figures, runs and claims.

    Attributes:
        papers: title, authors and year by key, such as ``"GO"``.
    """

    papers: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, Figure]
    runs: Mapping[str, Run]
    claims: Mapping[str, Claim]

    def figure(self, figure_id: str) -> Figure:
        """The figure with this id, ``"GO-F02"``.

        Raises:
            ValueError: no such figure; names the nearest ones.
        """
        return _lookup(self.figures, figure_id, "figure")

    def spec(
        self,
        run: str,
        profile: str,
        overrides: Mapping[str, Any] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> RunSpec:
        """What to compute for ``run`` at ``profile``.

        Args:
            overrides: parameters that replace the catalogue's. ``model_options`` is merged, so that one option can be
                changed alone, and one that is None is left out.
            seeds: instead of the catalogue's.

        Raises:
            ValueError: an unknown run, profile or parameter, a scale the run does not have, or a ``model`` or
                ``model_options`` of the wrong kind.
        """
        found = _lookup(self.runs, run, "run")
        check_profile(profile)
        if profile not in found.scales:
            raise ValueError(f"{run} cannot be run at {profile} scale: {found.unavailable[profile]}")
        scale = found.scales[profile]
        changes = dict(overrides or {})
        unknown = sorted(set(changes) - set(scale.parameters))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}: expected one of {', '.join(scale.parameters)}")
        if "model" in changes and not isinstance(changes["model"], str):
            raise ValueError(f"model must be the name of a network, got {changes['model']!r}")
        if "model_options" in changes:
            if not isinstance(changes["model_options"], Mapping):
                raise ValueError(
                    f"model_options must be keys and values, such as {{width: 8}}, got {changes['model_options']!r}"
                )
            options = {**scale.parameters["model_options"], **changes["model_options"]}
            changes["model_options"] = {name: value for name, value in options.items() if value is not None}
        parameters = {**scale.parameters, **changes}
        changed = tuple(k for k in changes if parameters[k] != scale.parameters[k])
        chosen = scale.seeds if seeds is None else tuple(seeds)
        note = scale.note
        if changed:
            note += " (changed: " + ", ".join(f"{k}={parameters[k]}" for k in changed) + ")"
        return RunSpec(run, profile, found.experiment, found.network, parameters, chosen, note, changed)

    def runs_of(self, ids: Iterable[str]) -> tuple[str, ...]:
        """The runs that figures and run names stand for, each once.

        Raises:
            ValueError: an id that is neither a figure nor a run.
        """
        names: dict[str, None] = {}
        for one in ids:
            if one in self.runs:
                names[one] = None
            elif one in self.figures:
                names.update(dict.fromkeys(self.figures[one].runs))
            else:
                _lookup({**self.figures, **self.runs}, one, "figure or run")
        return tuple(names)


def check_profile(profile: str) -> str:
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    return profile


def _lookup(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key in table:
        return table[key]
    near = difflib.get_close_matches(key, table, n=3, cutoff=0.6)
    remedy = f"did you mean {' or '.join(near)}?" if near else "see `python -m landscape_helpers list`"
    raise ValueError(f"unknown {what} {key!r}: {remedy}")
