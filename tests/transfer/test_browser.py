"""Reports in a real browser: no script error, no request leaves the file, and nothing spills over a phone's edge."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.transfer.chromium import NAMES, PROGRAM, Tab, browser
from transfer.report import matrix, write
from transfer.study.data import ArmData, DialData, StudyData

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"no browser: found none of {', '.join(NAMES)}")

STEPS = np.arange(0, 10_500, 500)
PHONE, DESKTOP = 390, 1280
DOT = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""A picture of one point."""


def arm(name: str, end: float, seed: int) -> ArmData:
    rising = np.clip(np.linspace(20, 2 * end, len(STEPS)), None, end)
    scores = rising + np.random.default_rng(seed).normal(0, 0.1 * end, (5, len(STEPS)))
    methods = () if name == "scratch" else (name,)
    return ArmData(name, methods, scores, tuple(range(5)), tuple(f"{seed}{i:015x}" for i in range(5)))


def study(name: str, target: str, last: float) -> StudyData:
    arms = [arm("scratch", 300.0, 1), arm("finetune", 450.0, 2), arm("a-method-with-a-long-name+shuffled", last, 3)]
    spec = {"name": name, "source": {"game": "headstart/CartPole-v1"}, "target": {"game": target}}
    runs = {key: {"training_cpu_seconds": 9.0, "commit": "c" * 40} for one in arms for key in one.run_keys}
    return StudyData(
        name,
        spec,
        STEPS,
        {one.name: one for one in arms},
        random=20.0,
        reference=500.0,
        thresholds=(250.0, 400.0),
        source_steps=5_000,
        evaluation={"every": 500, "episodes": 10, "mode": "sampled"},
        provenance={"versions": {"torch": "2.13.0"}, "host": "laptop", "runs": runs},
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, with a video beside the first."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "usual").mkdir()
    (folder / "usual" / "clip.gif").write_bytes(base64.b64decode(DOT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer.report.figures.to_png", lambda figure: b"")
        write(study("usual", "headstart/CartPoleCrane-v1", 150.0), folder / "usual")
        write(study("other", "headstart/DoorKey-16x16-v0", 310.0), folder / "other")
        points = tuple(study(f"dial, slip={slip}", "headstart/DoorKey-8x8-v0", 300.0) for slip in (0.0, 0.3))
        dial = DialData("dial", points[0].study, "slip", (0.0, 0.3), ("slip=0", "slip=0.3"), points)
        write(dial, folder / "dial")
        matrix.write(["usual", "other"], folder, "matrix")
    return {name: folder / name / "report.html" for name in ("usual", "dial", "matrix")}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


KINDS = ("usual", "dial", "matrix")


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_and_no_request_beyond_the_file(kind: str, tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(PHONE)
    tab.open(pages[kind])
    tab.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
    asked = [event["request"]["url"] for event in tab.of_kind("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [pages[kind].resolve().as_uri()]
    assert tab.of_kind("Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed") == []
    assert tab.ask("document.scripts.length") == 0


WIDER = """[...document.querySelectorAll('h1, h2, p, li, dd, dt, figure, svg, article, td > div, td')]
    .filter(each => each.getBoundingClientRect().width && !each.closest('.scroll table.dense, pre'))
    .filter(each => each.getBoundingClientRect().right > window.innerWidth + 1)
    .map(each => each.tagName + ' ' + each.textContent.slice(0, 40))"""
SMALLEST = """Math.min(...[...document.querySelectorAll('figure svg')].flatMap(svg => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll('text')].map(text => scale * parseFloat(getComputedStyle(text).fontSize));
}))"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_shows_all_without_scrolling_sideways(kind: str, tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(PHONE)
    tab.open(pages[kind])
    assert tab.ask("document.documentElement.scrollWidth") == PHONE
    assert tab.ask(WIDER) == []
    assert tab.ask(SMALLEST) > 7  # CSS pixels: small print in figures; their axes are larger


CONTRAST = """(() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(x => x / 255)
            .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = each => {
        const own = getComputedStyle(each).backgroundColor;
        return own !== 'rgba(0, 0, 0, 0)' ? own : behind(each.parentElement);
    };
    const said = [...document.querySelectorAll('h1, h2, p, li, dt, dd, td, th, code, .verdict, figcaption, svg text')];
    return Math.min(...said.map(each => {
        const style = getComputedStyle(each);
        const pair = [each.closest('svg') ? style.fill : style.color, behind(each)].map(light);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }));
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_words_stand_out_in_light_and_in_dark(kind: str, scheme: str, tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(DESKTOP, scheme="dark" if scheme == "dark" else "light")
    tab.open(pages[kind])
    dark = json.loads(re.sub(r"rgb\((.*)\)", r"[\1]", tab.ask("getComputedStyle(document.body).backgroundColor")))
    assert (max(dark) < 60) == (scheme == "dark")
    assert tab.ask(CONTRAST) > 4.5  # WCAG 2 AA


def test_paper_is_white_and_shows_the_tables_as_tables(tab: Tab, pages: dict[str, Path]) -> None:
    tab.show(700, scheme="dark", media="print")
    tab.open(pages["usual"])
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.ask("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"


def test_the_browser_tells_of_errors_and_of_requests(tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<script>throw new Error('broken')</script><img src='elsewhere.png'>")
    tab.open(page)
    assert len(tab.of_kind("Runtime.exceptionThrown")) == 1
    assert tab.of_kind("Network.requestWillBeSent")[-1]["request"]["url"].endswith("elsewhere.png")
