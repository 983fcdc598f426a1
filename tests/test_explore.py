"""The explorer's Python side: what travels to the page, what it answers, what it refuses."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import traitlets

from landscape_helpers.explore import Band, Frame, FrameExplorer, Panel, Reference, Series, Slider
from landscape_helpers.explore.explorer import grid
from landscape_helpers.explore.page import SCRIPT, STYLE
from landscape_helpers.explore.picture import COLOURS
from landscape_helpers.explore.spec import Layout

PNG = b"\x89PNG\r\n\x1a\n"
STEPS = np.arange(6)
PANELS = (
    Panel("Decay", "step", "height", [Series("a", "first", STEPS), Series("b", "second", [0, 5])], y_scale="log"),
    Panel("Walk", "x", "y", [Series("walk", "path", 4)], references=[Reference("line", "limit")]),
)


def frame(rate: float, shift: float = 0.0) -> Frame:
    return Frame(
        {"a": np.exp(-rate * STEPS), "b": [1.0, rate], "walk": np.outer([0, 1, 2, 3], [rate, shift])},
        {"line": 2 / rate},
        f"rate {rate:g} </script><b>",
    )


def explorer(**options: object) -> FrameExplorer:
    slider = Slider("rate", [0.1, 1.0, 10.0], scale="log", bands=[Band("slow", 0.1, 1.0)])
    frames = [frame(v) for v in slider.values]
    return FrameExplorer(PANELS, [slider], frames, alt="three decays", **options)  # type: ignore[arg-type]


class Recorder:
    """Stands where the explorer would send to its views."""

    def __init__(self, watched: FrameExplorer) -> None:
        self.messages: list[tuple[dict, list[bytes]]] = []
        watched.send = self.receive  # type: ignore[method-assign]

    def receive(self, content: dict, buffers: list[bytes] | None = None) -> None:
        self.messages.append((content, buffers or []))


def ask(watched: FrameExplorer, number: int, *values: float, view: str = "v") -> None:
    watched._answer(watched, {"kind": "frame", "view": view, "id": number, "values": list(values)}, [])


def test_a_frame_survives_the_trip_to_the_page() -> None:
    e = explorer()
    stored = e.frame(2)
    np.testing.assert_allclose(stored.curves["a"], np.exp(-10.0 * STEPS), rtol=1e-6)
    np.testing.assert_allclose(stored.curves["walk"], np.outer([0, 1, 2, 3], [10, 0]))
    assert stored.references["line"] == pytest.approx(0.2)
    assert stored.note == "rate 10 </script><b>"


def test_state_is_json_safe_and_small() -> None:
    e = explorer()
    text = json.dumps({"spec": e.spec, "notes": e.notes, "position": e.position}, allow_nan=False)
    assert json.loads(text)["spec"]["size"] == 6 + 2 + 8 + 1
    assert len(e.frames) == 3 * 17 * 4


def test_bundle_offers_widget_html_and_picture() -> None:
    data, _ = explorer()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]).startswith(PNG)
    assert data["text/plain"] == "three decays"
    page = data["text/html"]
    assert re.search(r'<img class="lx-fallback" alt="three decays" src="data:image/png;base64,', page)
    assert "export default" not in page and "src=http" not in page and "://" not in _without_namespaces(page)


def _without_namespaces(page: str) -> str:
    return page.replace("http://www.w3.org/2000/svg", "")


def test_hostile_text_stays_inside_its_script() -> None:
    page = explorer().html()
    assert page.count("</script>") == 2, "one script of state, one of code: a note must not end either"
    state = json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert state["notes"][0] == "rate 0.1 </script><b>"
    assert state["live"] is False


def test_the_same_explorer_gives_the_same_html() -> None:
    assert explorer().html() == explorer().html()


def test_module_and_style_can_be_inlined() -> None:
    assert "</script" not in SCRIPT.read_text() and SCRIPT.read_text().count("export default") == 1
    assert "</style" not in STYLE.read_text()


def test_picture_and_page_share_their_colours() -> None:
    light = STYLE.read_text().split("@media")[0]
    assert tuple(re.findall(r"--lx-s\d: (#[0-9a-f]{6})", light)) == COLOURS


def test_a_view_gets_its_frame_as_bytes() -> None:
    e = explorer(compute=frame)
    sent = Recorder(e)
    ask(e, 1, 3.0)
    [(content, [buffer])] = sent.messages
    assert content == {"view": "v", "id": 1, "kind": "frame", "note": "rate 3 </script><b>"}
    row = Layout(PANELS).unpack(np.frombuffer(buffer, dtype="<f4"))
    np.testing.assert_allclose(row.curves["a"], np.exp(-3.0 * STEPS), rtol=1e-6)


def test_stale_requests_cost_nothing_and_get_no_answer() -> None:
    computed: list[float] = []

    def compute(rate: float) -> Frame:
        computed.append(rate)
        return frame(rate)

    e = explorer(compute=compute)
    sent = Recorder(e)
    ask(e, 2, 2.0)
    ask(e, 1, 1.5)
    ask(e, 2, 2.0)
    ask(e, 1, 4.0, view="another")
    assert computed == [2.0, 4.0]
    assert [(c["view"], c["id"]) for c, _ in sent.messages] == [("v", 2), ("another", 1)]


def test_what_compute_raises_reaches_the_reader_and_the_next_move_works() -> None:
    def compute(rate: float) -> Frame:
        if rate > 5:
            raise ArithmeticError("too steep")
        return frame(rate)

    e = explorer(compute=compute)
    sent = Recorder(e)
    ask(e, 1, 7.0)
    assert sent.messages[0][0] == {
        "view": "v",
        "id": 1,
        "kind": "error",
        "message": "ArithmeticError: too steep",
    }
    assert isinstance(e.last_error, ArithmeticError)
    ask(e, 2, 2.0)
    assert sent.messages[1][0]["kind"] == "frame" and e.last_error is None


def test_a_frame_that_does_not_fit_is_reported_too() -> None:
    e = explorer(compute=lambda rate: Frame({"a": STEPS}))
    sent = Recorder(e)
    ask(e, 1, 2.0)
    assert "a frame's curves must be ['a', 'b', 'walk'], got ['a']" in sent.messages[0][0]["message"]


def test_an_explorer_without_compute_says_so() -> None:
    e = explorer()
    assert e.live is False
    sent = Recorder(e)
    ask(e, 1, 2.0)
    assert "stored frames only" in sent.messages[0][0]["message"]


def test_a_run_that_ended_early_leaves_a_gap() -> None:
    packed = Layout(PANELS).pack(Frame({"a": [1.0, 2.0], "b": [1, 1], "walk": np.zeros((4, 2))}, {"line": 1.0}))
    np.testing.assert_array_equal(packed[:6], [1, 2, np.nan, np.nan, np.nan, np.nan])


def test_limits_hold_every_frame_and_skip_what_a_log_axis_cannot_show() -> None:
    low, high = explorer().spec["panels"][0]["y_range"]
    assert 0 < low < np.exp(-50.0) and high > 10.0
    zero = Frame({"a": np.zeros(6), "b": [0, np.nan], "walk": np.zeros((4, 2))}, {"line": np.inf})
    flat = FrameExplorer(PANELS, [Slider("s", [0, 1])], [zero, zero], alt="nothing")
    assert flat.spec["panels"][0]["y_range"] == [0.1, 1.0]
    assert flat.png().startswith(PNG)


def test_several_sliders_choose_one_frame() -> None:
    sliders = [Slider("rate", [1.0, 2.0]), Slider("shift", [0.0, 3.0, 6.0])]
    frames = [frame(*values) for values in grid(sliders)]
    e = FrameExplorer(PANELS, sliders, frames, alt="two", initial=(1, 2))
    np.testing.assert_allclose(e.frame(1, 2).curves["walk"][3], [6.0, 18.0])  # type: ignore[index]
    np.testing.assert_allclose(e.frame(0, 1).curves["walk"][3], [3.0, 9.0])  # type: ignore[index]
    assert e.position == [1.0, 2.0]
    with pytest.raises(traitlets.TraitError, match="one number per slider"):
        e.position = [0.0, 7.0]


def test_slider_reads_between_its_values_and_writes_them() -> None:
    log = Slider("r", [0.01, 1.0, 100.0], format=".3g", scale="log")
    assert log.at(0.5) == pytest.approx(0.1)
    assert Slider("r", [0.0, 1.0, 3.0]).at(1.5) == pytest.approx(2.0)
    assert [log.text(v) for v in (0.03, 0.5, 12.34)] == ["0.03", "0.5", "12.3"]
    assert Slider("r", [0.0, 1.0], format=".2f").text(1.6) == "1.60"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1.0]}, "at least two"),
        ({"values": [1.0, 1.0, 2.0]}, "strictly increasing"),
        ({"values": [2.0, 1.0]}, "strictly increasing"),
        ({"values": [1.0, np.inf]}, "finite"),
        ({"values": [0.0, 1.0], "scale": "log"}, "above 0"),
        ({"values": [0.0, 1.0], "scale": "cubic"}, "'linear' or 'log'"),
        ({"values": [0.0, 1.0], "format": "%d"}, "must look like"),
    ],
)
def test_sliders_refuse(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Slider("rate", **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y_scale": "root"}, "'linear' or 'log'"),
        ({"series": []}, "1 to 5 series"),
        ({"y_range": (2.0, 1.0)}, r"must be \(low, high\)"),
        ({"y_scale": "log", "y_range": (0.0, 1.0)}, "above 0"),
    ],
)
def test_panels_refuse(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Panel("P", "x", "y", **{"series": [Series("a", "a", STEPS)], **arguments})


def test_explorers_refuse() -> None:
    slider = Slider("rate", [1.0, 2.0])
    two = [frame(1.0), frame(2.0)]
    for panels, sliders, frames, alt, message in (
        ((), [slider], two, "x", "at least one panel"),
        (PANELS, [], two, "x", "at least one slider"),
        (PANELS, [slider], [], "x", "2, got 0"),
        (PANELS, [slider], two, " ", "empty text"),
        ((PANELS[0], PANELS[0]), [slider], two, "x", "unique"),
        (PANELS, [slider], [two[0], Frame({"a": [1]})], "x", "curves must be"),
        (
            PANELS,
            [slider],
            [two[0], Frame({**two[1].curves, "a": np.ones(7)}, {"line": 1})],
            "x",
            "must have shape",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            FrameExplorer(panels, sliders, frames, alt=alt)
    with pytest.raises(ValueError, match="one index per slider"):
        FrameExplorer(PANELS, [slider], two, alt="x", initial=[2])


def test_script_and_style_ship_beside_the_module() -> None:
    for path in (SCRIPT, STYLE):
        assert isinstance(path, Path) and path.is_file()
