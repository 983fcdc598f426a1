"""What a reader calls a run, and several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile


def in_words(networks: Mapping[str, str]) -> dict[str, str]:
    """For each run what a reader calls it: its network and, where several runs have the same one, what sets it apart.

    ``{"a-gd": "VGG-11", "a-sgd": "VGG-11", "b": "MLP"}`` gives "VGG-11 (GD)", "VGG-11 (SGD)" and "MLP".
    """
    asked = {run: network.partition(", or ")[0] for run, network in networks.items()}
    told: dict[str, str] = {}
    for network in dict.fromkeys(asked.values()):
        words = {run: run.split("-") for run, name in asked.items() if name == network}
        shared = same(list(words.values()))
        # "rate 0.1", not "0.1".
        shared -= any(own[shared - 1 : shared] in (["rate"], ["noise"]) for own in words.values())
        for run, own in words.items():
            apart = " ".join(w.upper() if w in ("gd", "sgd") else w for w in own[shared:])
            told[run] = f"{network} ({apart})" if len(words) > 1 and apart else network
    return told


def listed(names: Sequence[str]) -> str:
    """Several runs in one phrase, in which a network, or what it was trained on, is said once.

    ``"simple CNN and VGG-16 on SVHN, MLP (GD and SGD)"``; names that hold commas are joined by "and".
    """
    if any("," in name for name in names):
        return " and ".join(names)
    apart: dict[str, list[str]] = {}
    for name in names:
        network, _, own = name.removesuffix(")").partition(" (")
        apart.setdefault(network, []).extend([own] * bool(own))
    merged = [f"{network} ({_together(own)})" if own else network for network, own in apart.items()]
    trained: dict[str, list[str]] = {}
    for name in merged:
        network, _, where = name.partition(" on ") if "(" not in name else (name, "", "")
        trained.setdefault(where, []).append(network)
    return ", ".join(_together(own) + (f" on {where}" if where else "") for where, own in trained.items())


def same(lists: Sequence[Sequence[str]]) -> int:
    """How many first words all lists share."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*lists, strict=False)))


def _together(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + [names[-1]])
