"""Cards: what they show is what is stored, in a page that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from figures_synthetic import SHAPES, quadratic_run
from matplotlib.figure import Figure
from PIL import Image

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims import VERDICTS, ledger
from landscape_helpers.figures import card_html, draw, evidence
from landscape_helpers.figures.card import Card, card
from landscape_helpers.figures.card_checks import checks_table
from landscape_helpers.figures.card_html import MANY_CHECKS, pictures
from landscape_helpers.figures.figure_group import FigureGroup
from landscape_helpers.figures.findings import Findings
from landscape_helpers.figures.image import DPI, png, webp
from landscape_helpers.store import Store

VOID = {"img", "br", "wbr", "meta", "link", "input"}


class Page(HTMLParser):
    """Tags with their attributes, visible text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def fill(store: Store, run: str, profile: str, seeds: tuple[int, ...], **changes: object) -> None:
    spec = load_catalogue().spec(run, profile)
    for seed in seeds:
        store.save(spec, seed, quadratic_run(**{**SHAPES[run], **changes, "seed": seed}))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(out=tmp_path, search=[])


@pytest.fixture(scope="module")
def cnn(tmp_path_factory) -> Card:
    """Three seeds at laptop scale, and one computed here."""
    store = Store(out=tmp_path_factory.mktemp("results"), search=[])
    fill(store, "cnn", "laptop", (0, 1, 2))
    fill(store, "cnn", "smoke", (0,))
    return card("GO-F02", live=("smoke", (0,)), store=store)


def test_pictures_for_both_themes_with_alternative_text(cnn):
    images = Page(cnn.html).of("img")
    assert [image["class"] for image in images] == ["lh-light", "lh-dark"] * 2
    for image in images:
        head, data = image["src"].split(",")
        assert head == "data:image/webp;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert picture.size == (int(image["width"]), int(image["height"]))
        assert picture.mode == "RGBA" and np.asarray(picture)[0, 0, 3] == 0
        assert re.search(r"training loss goes from \d", image["alt"])


def test_light_is_shown_unless_the_page_says_dark(cnn):
    style = re.sub(r"\s+", " ", cnn.html[cnn.html.index("<style>") : cnn.html.index("</style>")])
    assert ".lh-card img.lh-dark { display: none; }" in style
    shows_dark = re.search(r"([^{}]+)\{ display: block; \}", style)[1]
    hides_light = re.search(r"([^{}]+lh-light[^{}]*)\{ display: none; \}", style)[1]
    for rule in (shows_dark, hides_light):
        assert 'html[data-theme="dark"]' in rule and 'body[data-jp-theme-light="false"]' in rule
    assert "prefers-color-scheme" not in style


def test_the_page_needs_nothing_else(cnn):
    page = Page(cnn.html)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "http" not in cnn.html and "url(" not in cnn.html


def test_reported_measured_verdict(cnn):
    figure = load_catalogue().figure("GO-F02")
    page = Page(cnn.html)
    assert page.of("figure")[0]["id"] == "GO-F02"
    for text in (figure.title, figure.what, figure.reported, "The paper reports", "We measured", "Verdict"):
        assert text in page.text


def test_every_check_is_a_row_with_the_ledgers_verdict_and_range(cnn):
    rows = [r for r in ledger("laptop", store=Store(search=cnn_folders(cnn))) if r["figure"] == "GO-F02"]
    shown = cnn.html[: cnn.html.index("The same figure computed")]
    assert len(rows) == len(load_catalogue().figure("GO-F02").checks) == shown.count("<tr>") - 1
    for row in rows:
        line = shown[shown.index(f">{row['id']}<") :].split("</tr>")[0]
        assert f'data-verdict="{row["verdict"]}"' in line
        for name, values in row["measured"].items():
            assert f"<code>{name}</code>" in line
            if np.isfinite(values["median"]):
                assert f"{values['median']:.3g}".replace("-", "\u2212") in line


def test_many_checks_are_folded_and_few_are_not(cnn, store):
    checks = len(load_catalogue().figure("GO-F02").checks)
    head, fold = cnn.html.split(f"<summary>The {checks} checks")
    assert "GO-F02-1<" in fold and "GO-F02-1<" not in head
    assert "lh-badge" in head, "the verdicts' counts stand above the fold"
    fill(store, "resnet34", "laptop", (0,))
    few = card("GO-F09", store=store).html
    assert 0 < len(load_catalogue().figure("GO-F09").checks) <= MANY_CHECKS
    assert "checks, with what" not in few and "GO-F09-1<" in few


def test_a_comparison_of_many_lists_them_in_a_fold(store, monkeypatch):
    fill(store, "cnn", "laptop", (0,))
    fill(store, "cnn-batchnorm", "laptop", (0,))
    for many in (1, 2):
        monkeypatch.setattr(card_html, "MANY_FINDINGS", many)
        html = card("GO-X01", store=store).html
        three = html[html.index("lh-three") : html.index("Verdict")]
        assert three.count("<li>") == (0 if many == 1 else 2)
        assert ("measured in each of the 2 settings" in html) == (many == 1)


def test_long_findings_take_the_width_of_the_card(store, monkeypatch):
    fill(store, "cnn", "laptop", (0,))
    for figure_id, tag in (("GO-F02", "p"), ("GO-X01", "ul")):
        for words, wide in (("Short.", False), ("Word. " * 80, True)):
            monkeypatch.setattr(card_html, "findings", lambda figure_id, runs, w=words: Findings("About:", [w.strip()]))
            html = card(figure_id, store=store).html
            assert (f'<div class="lh-wide"><{tag}>' in html) == wide


def test_a_remark_is_listed_and_not_counted_as_a_setting(store, monkeypatch):
    fill(store, "cnn", "laptop", (0,))
    said = Findings("About:", ["one: 1.", "other: 2."], ["One seed ended early."])
    monkeypatch.setattr(card_html, "findings", lambda figure_id, runs: said)
    for many, listed in ((1, "measured in each of the 2 settings"), (2, "<p>About:</p><ul>")):
        monkeypatch.setattr(card_html, "MANY_FINDINGS", many)
        html = card("GO-X01", store=store).html
        assert listed in html and "<li>One seed ended early.</li>" in html


def cnn_folders(shown: Card) -> list[str]:
    """The folder the fixture's results lie in, found from one that was loaded."""
    encoding = next(iter(shown.shown.runs.values()))[0].encoding
    return [str(encoding["source"]).rsplit("/", 1)[0]]


def test_the_ledger_is_computed_again_for_results_of_its_paper_only(store, monkeypatch):
    asked = []
    monkeypatch.setattr(evidence, "ledger", lambda profile, paper, _: asked.append(paper) or [])
    fill(store, "cnn", "smoke", (0,))
    card("GO-F02", "smoke", store=store)
    (store.folders[0] / "mlp-slices-smoke-s0-0123456789ab.nc").write_bytes(b"")
    card("GO-F02", "smoke", store=store)
    assert asked == ["GO"]
    fill(store, "vgg16", "smoke", (0,))
    card("GO-F02", "smoke", store=store)
    assert asked == ["GO", "GO"]


def test_scale_and_provenance(cnn):
    text = Page(cnn.html).text
    note = load_catalogue().runs["cnn"].scales["laptop"].note
    assert f"laptop scale: {note}; 3 seeds" in text
    for piece in (
        "0" * 64,
        "torch 2.13.0",
        "landscape_helpers 0.1.0",
        "completed, 1.2 s",
        "4,321 parameters",
        "lr: 0.1",
    ):
        assert piece in text


def test_the_live_part_is_folded_below_and_smaller(cnn):
    details = cnn.html[cnn.html.index("The same figure computed for this page, at smoke scale<") :]
    assert f"smoke scale: {load_catalogue().runs['cnn'].scales['smoke'].note}; 1 seed" in details
    widths = [int(image["width"]) for image in Page(cnn.html).of("img")]
    assert widths[2] < widths[0]


def test_other_formats_of_the_notebook(cnn):
    bundle = cnn._repr_mimebundle_()
    assert bundle["text/html"] == cnn._repr_html_()
    picture = Image.open(io.BytesIO(bundle["image/png"]))
    assert picture.mode == "RGB" and picture.getpixel((0, 0)) == (255, 255, 255)
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20
    assert "GO-F02-1  " in bundle["text/plain"] and "The paper reports" in bundle["text/plain"]
    assert set(cnn._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}


def test_a_picture_is_drawn_once_for_all_formats(store, monkeypatch):
    fill(store, "cnn", "laptop", (0,))
    drawn = []
    once = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or once(figure, renderer))
    shown = card("GO-F02", store=store)
    for _ in range(2):
        assert {"text/html", "image/png"} <= set(shown._repr_mimebundle_())
    assert len(drawn) == len(set(drawn)) == 2, "once on light, once on dark"


def test_pictures_are_what_matplotlib_saves(cnn):
    file = io.BytesIO()
    evidence = cnn.shown
    assert evidence is not None
    figure = draw("GO-F02", evidence.runs, "light", evidence.scale)
    figure.savefig(file, format="png", dpi=DPI, facecolor="none")
    light, _ = pictures(evidence)
    np.testing.assert_array_equal(np.asarray(light), np.asarray(Image.open(file)))


def test_nothing_stored_says_why_and_what_to_do(store):
    shown = card("GO-F02", store=store)
    text = Page(shown.html).text
    assert shown.shown is None and "img" not in {tag for tag, _ in Page(shown.html).tags}
    assert "not run" in text and "run GO-F02 --profile smoke" in text
    assert "image/png" not in shown._repr_mimebundle_()
    assert "Not run: no stored results of cnn" in str(shown)


def test_a_long_scale_is_a_folded_list():
    html = card("GO-X02", "laptop").html
    said = html.partition("reduced against the paper as listed here</summary>")[2].partition("</details>")[0]
    assert "<li>VGG-16 on MNIST: width 8 of 64" in said and said.count("<li>") == 6
    assert "Not shown: " in html.partition(said)[2]
    one = card("GO-F02", "laptop").html
    assert "Measured at laptop scale: width 16" in one and "as listed here" not in one


def test_a_run_that_the_profile_cannot_have_gives_its_reason(store):
    assert "MNIST is not embedded" in Page(card("GO-X02", "smoke", store=store).html).text


def test_without_published_results_the_live_ones_stand_on_their_own(store):
    fill(store, "cnn", "smoke", (0,))
    shown = card("GO-F02", live=("smoke", (0,)), store=store)
    assert shown.shown.profile == "smoke" and shown.here is None


def test_the_highest_profile_is_shown_unless_one_is_named(store):
    for profile in ("smoke", "laptop"):
        fill(store, "cnn", profile, (0,))
    assert card("GO-F02", store=store).shown.profile == "laptop"
    assert card("GO-F02", "smoke", store=store).shown.profile == "smoke"


def test_a_comparison_shows_what_there_is(store):
    fill(store, "cnn", "laptop", (0,))
    fill(store, "cnn-batchnorm", "laptop", (0,))
    shown = card("GO-X01", store=store)
    assert list(shown.shown.runs) == ["cnn", "cnn-batchnorm"]
    _, _, left_out = Page(shown.html).text.partition("Not shown: VGG-16")
    assert left_out.count("not stored at laptop scale") == 1


def test_a_comparison_prefers_the_scale_that_has_every_run(store):
    fill(store, "cnn", "laptop", (0,))
    for run in load_catalogue().figure("GO-X01").runs:
        fill(store, run, "smoke", (0,))
    assert card("GO-X01", store=store).shown.profile == "smoke"


def test_a_run_that_ended_early_says_so(store):
    fill(store, "cnn", "smoke", (0,), ends_at=36, status="loss became non-finite at step 37")
    text = Page(card("GO-F02", store=store).html).text
    assert text.count("loss became non-finite at step 37") >= 2  # in the findings and in the provenance


def check_row(name: str, *remarks: str) -> dict:
    return {"id": name, "statement": name, "measured": {}, "expected": "", "verdict": "partly", "remarks": remarks}


def test_a_long_remark_that_several_checks_share_stands_once_below_the_table():
    long, other = "the first 400 of 1,500 steps; of <every> run", "thresholds that were fixed before any of the runs"
    html = checks_table([
        check_row("A", long, "seed 1 ended early"),
        check_row("B", "seed 1 ended early", long, other),
        check_row("C", other),
        check_row("D", "a long remark of which no other check knows anything at all"),
        check_row("E"),
    ])  # fmt: skip
    page = Page(html)
    for remark in (long, other):
        assert page.text.count(remark) == 1 and page.text.index(remark) > page.text.index("E")
    cells = re.findall(r'<div class="lh-soft">(.*?)</div>', html)
    assert cells == [
        "seed 1 ended early; remark 1",
        "seed 1 ended early; remarks 1, 2",
        "remark 2",
        "a long remark of which no other check knows anything at all",
    ]
    assert [page.text.count(f"Remark {number}") for number in (1, 2, 3)] == [1, 1, 0]


def test_the_numbers_of_many_remarks_are_drawn_together():
    remarks = [f"remark number {number} is long enough to be told only once" for number in range(8)]
    rows = [check_row("A", *remarks), check_row("B", *remarks), check_row("C", *remarks[:1], *remarks[2:5], remarks[6])]
    text = Page(checks_table(rows)).text
    assert text.count("remarks 1\u20138") == 2 and "remarks 1, 3\u20135, 7" in text


def test_without_shared_remarks_a_table_is_all_there_is():
    assert checks_table([check_row("A", "only here is this long remark to be found, once"), check_row("B")]).endswith(
        "</table>"
    )
    assert checks_table([]) == ""


def test_many_quantities_and_a_long_rule_are_folded_away():
    values = {"median": 1.0, "low": 1.0, "high": 1.0, "values": [1.0]}
    few, many = ({f"m{i}": values for i in range(n)} for n in (4, 5))
    short = Page(checks_table([{**check_row("A"), "measured": few, "expected": "m0 > 0"}]))
    assert short.of("details") == [] and short.text.count("m0 1") == 1
    rule = " and ".join(f"m{i} > 0" for i in range(30))
    long = Page(checks_table([{**check_row("A"), "measured": many, "expected": rule}]))
    assert len(long.of("details")) == 2
    assert "5 quantities" in long.text and rule in long.text and "m4 1" in long.text


def test_text_from_results_cannot_become_markup(store):
    fill(store, "cnn", "smoke", (0,), status="<script>alert('x')</script> & \"y\"")
    html = card("GO-F02", store=store).html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    Page(html)


def test_new_results_are_seen_by_the_next_card(store):
    fill(store, "cnn", "smoke", (0,))
    before = card("GO-F02", store=store).shown.rows
    fill(store, "cnn", "smoke", (0,), opens="opposed")
    after = card("GO-F02", store=store).shown.rows
    assert [row["measured"] for row in before] != [row["measured"] for row in after]


def test_unknown_figures_and_profiles_are_refused(store):
    with pytest.raises(ValueError, match="GO-F99"):
        card("GO-F99", store=store)
    with pytest.raises(ValueError, match="huge"):
        card("GO-F02", "huge", store=store)


def test_a_card_stays_small(cnn):
    published = cnn.html[: cnn.html.index("The same figure computed")]
    assert len(published) < 240_000


def test_colours_are_rounded_and_transparency_is_kept():
    ramp = np.zeros((16, 256, 4), np.uint8)
    ramp[..., 0] = np.arange(256)
    ramp[8:, :, 3] = 255
    image = Image.fromarray(ramp)
    stored = np.asarray(Image.open(io.BytesIO(webp(image).data)).convert("RGBA")).astype(int)
    assert (stored[:8, :, 3] == 0).all() and (stored[8:, :, 3] == 255).all()
    assert abs(stored[8:, :, 0] - ramp[8:, :, 0].astype(int)).max() <= 4
    assert len(np.unique(stored[8:, :, 0])) > 30  # no bands wider than a rounding step
    flat = np.asarray(Image.open(io.BytesIO(png(image).data)))
    assert (flat[:8] == 255).all()


def test_a_group_folds_each_figure_under_its_title_and_its_verdicts(cnn, store):
    fill(store, "resnet34", "laptop", (0,))
    cards = [cnn, card("GO-F09", store=store)]
    shown = FigureGroup("gradient descent on <two> networks", cards)
    page = Page(shown.html)
    assert [figure["id"] for figure in page.of("figure")] == ["GO-F02", "GO-F09"]
    lead = re.search(r"<p>(<strong>2 figures, folded.*?)</p>", shown.html)[1]
    rows = [row["verdict"] for one in cards for row in one.shown.rows]
    assert shown.counts == {verdict: rows.count(verdict) for verdict in VERDICTS if verdict in rows}
    assert "on &lt;two&gt; networks" in lead and lead.count("lh-badge") == len(shown.counts)
    for verdict, count in shown.counts.items():
        assert f"{count} {verdict}" in lead
    for one in cards:
        summary = re.search(rf"<details><summary>(<strong>{one.figure.id}<.*?)</summary><figure", shown.html)[1]
        own = [row["verdict"] for row in one.shown.rows]
        assert one.figure.title in summary and all(f"{own.count(v)} {v}" in summary for v in own)
    assert str(cards[1]) in str(shown) and str(shown).startswith("2 figures, folded: gradient descent on <two>")


def test_a_group_of_one_figure_counts_its_verdicts_once(cnn):
    shown = FigureGroup("gradient descent", [cnn])
    assert "<p><strong>1 figure, folded:</strong> gradient descent.</p><details>" in shown.html
    assert str(shown).startswith("1 figure, folded: gradient descent.\n")


def test_a_group_of_figures_that_were_not_run_gives_their_one_reason_once(store):
    figures = ["WALK-F20", "WALK-F21", "WALK-F24"]
    shown = FigureGroup("VGG-11 on Tiny ImageNet", [card(figure, store=store) for figure in figures])
    page, catalogue = Page(shown.html), load_catalogue()
    assert [paragraph["id"] for paragraph in page.of("p") if "id" in paragraph] == figures
    assert not page.of("details") and page.text.count("is asked for at paper scale only") == 1
    assert "3 figures, not run:" in page.text
    assert shown.counts == {"not run": sum(len(catalogue.figure(figure).checks) for figure in figures)}
    assert all(catalogue.figure(figure).reported in page.text for figure in figures)


def test_what_a_figure_lacks_is_what_can_be_done_about_it(store):
    absent = FigureGroup("gradient descent", [card("GO-F02", store=store)])
    assert "<p><strong>1 figure, not run:</strong> gradient descent.</p>" in absent.html
    assert "<code>python -m landscape_helpers run GO-F02" in absent.html
