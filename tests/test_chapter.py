"""A chapter takes what the runner, the catalogue and the loader take, and refuses the rest before any work."""

from pathlib import Path

import pytest
from data_files import one_line, write_images

import landscape_helpers.chapter as chapter_module
from landscape_helpers.chapter import Chapter
from landscape_helpers.data import DATASETS, DataNotFoundError, load_data


@pytest.fixture
def asked(monkeypatch):
    """The runs a chapter would compute; nothing is."""
    specs: list = []
    monkeypatch.setattr(chapter_module, "compute_all", lambda wanted, _store: specs.extend(wanted))
    return specs


@pytest.fixture
def pets(tmp_path):
    write_images(tmp_path / "pets", {"train/cat/1.png": (1, 1, 1)})
    return tmp_path / "pets"


def test_the_runs_of_a_paper_at_a_profile_with_the_seeds_given(asked):
    chapter = Chapter("GO", seeds=[3, 5])
    assert chapter.data == "digits" and chapter.seeds == (3, 5)
    assert asked == chapter.specs and {spec.profile for spec in asked} == {"smoke"}
    assert {spec.seeds for spec in asked} == {(3, 5)} and "cnn" in {spec.run for spec in asked}


def test_an_experiment_that_is_not_watched_is_named(asked, monkeypatch):
    monkeypatch.delitem(chapter_module.WATCHED, "gradient_oscillation")
    with pytest.raises(ValueError, match=r"^experiment 'gradient_oscillation' is not watched: enter it in WATCHED"):
        Chapter("GO").record_metrics()


@pytest.mark.parametrize("form", ["folder:{}", "{}", "path", "relative"])
def test_every_folder_that_can_be_loaded_can_be_asked_for(asked, pets, form, monkeypatch):
    monkeypatch.chdir(pets.parent)
    data = {"path": pets, "relative": "./pets"}.get(form, form.format(pets))
    assert load_data(Chapter("GO", data=data).data).classes == ("cat",)


@pytest.mark.parametrize("data", DATASETS)
def test_every_known_data_set_can_be_asked_for(asked, data):
    assert Chapter("GO", data=data).data == data


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ({"paper": "NO"}, ("'NO'", "GO")),
        ({"profile": "huge"}, ("'huge'", "smoke, laptop, paper")),
        ({"data": "imagenet"}, ("'imagenet'", *DATASETS, "folder:")),
        ({"data": None}, ("None", "folder:")),
        ({"seeds": []}, ("seeds", "[]")),
        ({"seeds": [-1]}, ("seeds", "at least 0", "[-1]")),
        ({"seeds": [True]}, ("seeds", "[True]")),
        ({"seeds": [2**63]}, ("seeds", "below 2^63", str(2**63))),
        ({"seeds": 3}, ("seeds", "3")),
        ({"seeds": None}, ("seeds", "None")),
        ({"seeds": "01"}, ("seeds", "'01'")),
    ],
)
def test_what_does_not_exist_is_refused_before_any_work(asked, given, fragments):
    with pytest.raises(ValueError) as error:
        Chapter(**{"paper": "GO", **given})
    one_line(error, *fragments)
    assert asked == []


@pytest.mark.parametrize("form", ["folder:{}", "{}", "path"])
def test_a_folder_that_is_not_there_is_not_found_before_any_work(asked, tmp_path, form):
    folder: Path = tmp_path / "nothing"
    with pytest.raises(DataNotFoundError) as error:
        Chapter("GO", data=folder if form == "path" else form.format(folder))
    one_line(error, folder, "train")
    assert asked == []


def test_claims_and_checks_are_shown_apart_and_judged_once(asked, monkeypatch):
    calls: list = []
    judge = chapter_module.ledger
    monkeypatch.setattr(chapter_module, "ledger", lambda **given: calls.append(given) or judge(**given))
    chapter = Chapter("GO")
    claims, checks = chapter.claims().rows, chapter.ledger().rows
    assert len(calls) == 1
    assert {r["kind"] for r in claims} == {"claim"} and "claim" not in {r["kind"] for r in checks}
    assert f"The {len(checks)} checks" in chapter.ledger()._repr_html_()


def test_a_group_holds_the_cards_that_the_chapter_would_show(asked, monkeypatch):
    monkeypatch.setattr(chapter_module, "card", lambda figure_id, live: (figure_id, live))
    group = Chapter("GO", seeds=[3]).group("the same elsewhere", "GO-F02", "GO-F09")
    assert group.about == "the same elsewhere"
    assert group.cards == [("GO-F02", ("smoke", (3,))), ("GO-F09", ("smoke", (3,)))]
