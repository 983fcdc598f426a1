"""What a caption says about the settings of several runs."""

import pytest

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.catalogue.naming import in_words, listed
from landscape_helpers.figures.evidence import in_common, in_kinds


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (["width 8 of 64, 500 images"], "width 8 of 64, 500 images"),
        (["width 8, t up to 12", "width 8, t up to 20"], "width 8; a: t up to 12; b: t up to 20"),
        (["width 8, 1,003 images", "1,003 images, width 8", "width 8"], "width 8; a and b: 1,003 images"),
        (["depth 2", "depth 3", "depth 2"], "a and c: depth 2; b: depth 3"),
        (
            [f"width 8 of 64, rate {r} for {r / 100:g}, t up to {t}" for r, t in [(1, 12), (2, 12), (3, 12), (3, 20)]],
            "width 8 of 64, rate 1 for 0.01 / 2 for 0.02 / 3 for 0.03, t up to 12 / 20",
        ),
        (["", "n 1", "n 2", "n 3, m"], "b: n 1; c: n 2; d: n 3, m"),
        (["n 1 of 9", "n 2 of 9", "n 3 of 9", "n 4 of 9"], "n 1 / 2 / 3 / 4 of 9"),
    ],
)
def test_what_runs_share_is_said_once(notes, said):
    assert in_common(dict(zip("abcd", notes, strict=False))) == said


def test_settings_that_are_no_grid_and_need_words_are_told_run_by_run():
    notes = {"a": "width 8, 5 of 9 images", "b": "width 8, 5 of 7 images pooled", "c": "width 4, 5 of 9 images"}
    notes["d"] = "width 2, 3 of 9 images"
    said = in_common(notes)
    assert "/" not in said and all(f"{run}: {note}" in said for run, note in notes.items())


def test_what_differs_in_its_numbers_alone_stands_side_by_side():
    notes = ["width 8 of 64, 1,000 of 9,000 images", "width 8 of 32, 50 of 9,000 images, 3 steps", "width 8 of 64"]
    assert in_kinds(notes) == "width 8 of 64 / 32, 1,000 / 50 of 9,000 images, 3 steps"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["MLP"], "MLP"),
        (["CNN on SVHN", "VGG on SVHN", "VGG on SVHN at rate 1"], "CNN and VGG on SVHN, VGG on SVHN at rate 1"),
        (["VGG-11 (GD)", "VGG-11 (rate 0.1)", "VGG-11 (SGD)", "MLP"], "VGG-11 (GD, rate 0.1 and SGD) and MLP"),
        (["AlexNet, rate 0.1", "AlexNet, rate 0.2"], "AlexNet, rate 0.1 and AlexNet, rate 0.2"),
    ],
)
def test_several_runs_are_listed_with_what_they_share_said_once(names, said):
    assert listed(names) == said


def test_a_run_is_called_by_its_network_and_by_what_sets_it_apart():
    networks = {"a-gd": "VGG-11", "a-sgd": "VGG-11", "a-sgd-rate-0.1": "VGG-11", "b": "ResNet-56, or a shallower one"}
    assert list(in_words(networks).values()) == ["VGG-11 (GD)", "VGG-11 (SGD)", "VGG-11 (SGD rate 0.1)", "ResNet-56"]
    rates = {"a-rate-0.1": "MLP", "a-rate-0.2": "MLP"}
    assert list(in_words(rates).values()) == ["MLP (rate 0.1)", "MLP (rate 0.2)"]


@pytest.mark.parametrize("figure", sorted(load_catalogue().figures))
def test_no_two_runs_of_a_figure_are_called_alike(figure):
    catalogue = load_catalogue()
    names = in_words({run: catalogue.runs[run].network for run in catalogue.figures[figure].runs})
    assert len(set(names.values())) == len(names)


def test_a_note_that_names_what_stands_for_a_network_needs_no_other_name():
    notes = {"MLP": "5,000 images", "ResNet-32": "ResNet-8 for ResNet-32, 1,000 images"}
    assert in_common(notes) == "MLP: 5,000 images; ResNet-8 for ResNet-32, 1,000 images"
