"""Pictures, files, terminal and window: what is drawn is what the frames say."""

import io
import math
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from agents.rollout import Decision, Frame
from agents.watch import theme
from agents.watch.bars import Bars
from agents.watch.drawing import INNER, Caption, Painter, Ranges, Shown, outcome
from agents.watch.pictures import as_picture, features_of, fit, is_planes, planes_picture
from agents.watch.show import Show, pictures, settled
from agents.watch.terminal import half_blocks, line, panels, told, watch_in_terminal
from agents.watch.theme import fitted, number
from agents.watch.video import check_suffix, record, write_gif
from agents.watch.window import Clock, watch_in_window
from envs.errors import ConfigError
from envs.fonts import font
from envs.headless import headless

WIDTHS = {"left": 4, "right": 5}


def decision(share: float = 0.25, action: int | None = 0) -> Decision:
    numbers = None if action is None else np.array([share, 1 - share])
    return Decision(("left", "right"), "categorical", numbers, action=action, value=1.5)


def frame(step: int = 0, episode: int = 0, **changes: Any) -> Frame:
    first = Frame(
        episode,
        step,
        np.zeros(2, np.float32),
        (decision(),),
        1.0 if step else None,
        float(step),
        image=np.full((40, 60, 3), 10 * step, np.uint8),
    )
    return replace(first, **changes)


class Actor:
    """Plays made-up episodes of so many steps."""

    def __init__(self, *lengths: int, fps: int = 10) -> None:
        self.lengths, self.stage, self.closed = lengths, SimpleNamespace(fps=fps), False

    def episode(self, number: int) -> Iterator[Frame]:
        length = self.lengths[number]
        for step in range(length + 1):
            over = step == length
            yield frame(step, number, terminated=over, decisions=(decision(action=None if over else 0),))

    def close(self) -> None:
        self.closed = True


def show(*actors: Actor, **options: Any) -> Show:
    titles = [Caption(f"player {place}", "game") for place in range(len(actors))]
    return Show(actors, titles, **options)  # type: ignore[arg-type]


def painted(*frames: Frame, held: bool = False) -> np.ndarray:
    painter = Painter([Caption("title", "subtitle", ("height", "speed"))] * len(frames), frames)
    return np.asarray(painter.paint([Shown(one, held) for one in frames]))


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(axis=-1).sum())


# text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (0.0, "0"), (37.0, "37"), (-1.5, "−1.50"), (0.03125, "0.031"), (12.34, "12.3")),
        *((1234.5, "1\u2009234"), (2.5e7, "2.5e+07"), (1e-5, "1.0e−05"), (math.inf, "∞"), (math.nan, "NaN")),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_signed_numbers() -> None:
    assert [number(value, signed=True) for value in (1.0, 0.0, -1.0)] == ["+1", "0", "−1"]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_are_short(value: float) -> None:
    assert len(number(value, signed=True)) <= 9


@settings(deadline=None)
@given(st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=60), st.integers(20, 300))
def test_fitted_text_fits(text: str, width: int) -> None:
    short = fitted(text, width, 13)
    assert font(13).getlength(short) <= width
    assert short == text or short.endswith("…")


# pictures


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 200), st.integers(8, 200))
def test_fitted_pictures_touch_their_box(width: int, height: int, room: int, tall: int) -> None:
    picture = fit(Image.new("RGB", (width, height)), room, tall)
    assert picture.width <= room
    assert picture.height <= tall
    assert picture.width == room or picture.height == tall


def test_pixel_games_keep_hard_edges_and_others_are_smoothed() -> None:
    board = np.zeros((10, 10, 3), np.uint8)
    board[::2, ::2] = 255
    assert len(fit(as_picture(board), 100, 100).getcolors()) == 2
    photo = np.random.default_rng(0).integers(0, 255, (10, 10, 3)).astype(np.uint8)
    assert len(fit(as_picture(photo), 100, 100).getcolors(10**6)) > 200


def test_pictures_of_floats_grey_and_alpha_are_read() -> None:
    assert as_picture(np.ones((2, 2, 3))).getpixel((0, 0)) == (255, 255, 255)
    assert as_picture(np.full((2, 2), 7, np.uint8)).getpixel((0, 0)) == (7, 7, 7)
    assert as_picture(np.full((2, 2, 4), 9, np.uint8)).mode == "RGB"
    assert as_picture(np.full((2, 2, 3), 200, np.int64)).getpixel((0, 0)) == (200, 200, 200)


def test_planes_become_colours_and_vectors_do_not() -> None:
    planes = np.zeros((10, 10, 3), np.uint8)
    planes[0, 0, 0] = planes[1, 1, 1] = 1
    picture = planes_picture(planes)
    assert picture.getpixel((0, 0)) == theme.PALETTE[0]
    assert picture.getpixel((1, 1)) == theme.PALETTE[1]
    assert picture.getpixel((5, 5)) == (24, 24, 24)
    assert is_planes(planes)
    assert not is_planes(np.zeros(4))
    assert not is_planes({"a": planes})


def test_features_have_their_names_or_numbers() -> None:
    assert features_of(np.array([1.0, 2.0]), ("x", "y")) == [("x", 1.0), ("y", 2.0)]
    assert features_of(np.array([1.0, 2.0]), ("x",)) == [("state[0]", 1.0), ("state[1]", 2.0)]
    assert features_of(3, None) == [("state", 3.0)]
    dictionary = {"goal": np.array([1.0, 2.0]), "time": np.array(5)}
    assert features_of(dictionary, None) == [("goal[0]", 1.0), ("goal[1]", 2.0), ("time", 5.0)]


@given(st.lists(st.floats(), min_size=1))
def test_shares_of_a_running_range(values: list[float]) -> None:
    ranges = Ranges()
    for value in values:
        share = ranges.share("x", value)
        assert -1 <= share <= 1
        assert math.isnan(value) or share == 0 or (share > 0) == (value > 0)


# panels


@pytest.mark.parametrize("players", [1, 2, 3])
def test_panels_stand_side_by_side_in_one_even_size(players: int) -> None:
    frames = [frame(3) for _ in range(players)]
    painter = Painter([Caption("title")] * players, frames)
    sizes = {painter.paint([Shown(one)] * players).size for one in (frame(3), frame(9, terminated=True))}
    assert sizes == {painter.size}
    assert all(side % 2 == 0 for side in painter.size)
    assert painter.size[0] == 12 + players * 412


def test_a_bar_is_as_long_as_its_probability() -> None:
    thick = 15
    marker = count(painted(frame(decisions=(decision(0.0),))), theme.CHOSEN)
    shares = np.array([0.25, 0.5, 1.0])
    areas = [count(painted(frame(decisions=(decision(share),))), theme.CHOSEN) - marker for share in shares]
    lengths = np.array(areas) / thick
    np.testing.assert_allclose(lengths / lengths[-1], shares, atol=0.01)


def test_the_action_taken_is_marked_and_the_other_is_not() -> None:
    first, second = (painted(frame(decisions=(decision(0.5, action),))) for action in (0, 1))
    rows = [np.flatnonzero((pixels == theme.CHOSEN).all(axis=-1).any(axis=1)) for pixels in (first, second)]
    np.testing.assert_array_equal(rows[0] + 24, rows[1])


@pytest.mark.parametrize(("sign", "colour"), [(1, theme.CHOSEN), (-1, theme.NEGATIVE)])
def test_a_feature_leans_to_its_sign(sign: int, colour: tuple[int, int, int]) -> None:
    values = np.array([0.0, 0.5 * sign], np.float32)
    other = theme.NEGATIVE if sign > 0 else theme.CHOSEN
    blank = frame(image=None, decisions=(decision(action=None),), terminated=True)
    pixels = painted(replace(blank, observation=values))
    assert count(pixels, colour) > 300
    assert count(pixels, other) == 0
    assert count(painted(blank), colour) == 0


def test_the_end_of_an_episode_is_marked_by_how_it_ended() -> None:
    ended = (decision(action=None),)
    terminated = painted(frame(9, terminated=True, decisions=ended))
    truncated = painted(frame(9, truncated=True, decisions=ended))
    assert count(terminated, theme.TRUNCATED) == 0
    assert count(truncated, theme.TRUNCATED) > 5 * INNER
    assert count(painted(frame(9)), theme.TRUNCATED) == 0
    assert count(terminated, theme.TERMINATED) > 5 * INNER
    assert outcome(frame(9, truncated=True)) == "truncated after 9 steps · return 9"
    assert outcome(frame(9)) == ""


def test_a_held_picture_is_dimmed() -> None:
    red = np.full((40, 60, 3), (200, 0, 0), np.uint8)
    last = frame(9, image=red, terminated=True)
    assert count(painted(last), (200, 0, 0)) > 1000
    assert count(painted(last, held=True), (200, 0, 0)) == 0


@pytest.mark.parametrize("n_actions", [1, 10, 11, 18, 40])
def test_any_number_of_actions_and_features_fits(n_actions: int) -> None:
    names = tuple(f"a rather long name {i}" for i in range(n_actions))
    values = Decision(names, "q", np.linspace(-1e6, 1e6, n_actions), action=0, value=math.inf)
    one = frame(image=None, observation=np.linspace(-1, 1, 3 * n_actions), decisions=(values,))
    page = painted(one)
    assert count(page[-12:], theme.PAGE) == 12 * page.shape[1]  # nothing is drawn beyond the panel
    assert count(page, theme.CHOSEN) > 0


def test_of_many_actions_the_likeliest_and_the_one_taken_are_listed() -> None:
    names = tuple(f"move {index}" for index in range(100))
    chances = np.linspace(0.0, 1.0, 100)
    decision = Decision(names, "categorical", chances, action=3, legal=np.arange(100) != 99)
    listed = Bars((decision,), 368)._listed(decision)
    assert listed == [3, *range(99 - len(listed) + 1, 99)]


def test_several_agents_have_a_column_each() -> None:
    one, three = (count(painted(frame(decisions=(decision(0.5),) * n)), theme.CHOSEN) for n in (1, 3))
    assert three > one / 2
    painted(frame(decisions=(decision(0.5),) * 60))


def test_continuous_actions_show_where_they_are() -> None:
    bounds = (np.array([-1.0]), np.array([1.0]))

    def line_at(action: float) -> float:
        taken = Decision(("force",), "gaussian", np.array([0.0]), np.array([0.2]), bounds, np.array([action]))
        return float(
            np.flatnonzero((painted(frame(decisions=(taken,))) == theme.CHOSEN).all(axis=-1).any(axis=0)).mean()
        )

    assert line_at(0.0) - line_at(-0.5) == pytest.approx(line_at(0.5) - line_at(0.0), abs=1)
    assert line_at(5.0) == line_at(1.0)


# shows


def test_whoever_has_ended_waits_for_the_others() -> None:
    moments = list(show(Actor(1, 3), Actor(3, 2), episodes=2))
    seen = [[(item.frame.episode, item.frame.step, item.held) for item in shown] for shown in moments]
    assert seen[:4] == [
        [(0, 0, False), (0, 0, False)],
        [(0, 1, False), (0, 1, False)],
        [(0, 1, True), (0, 2, False)],
        [(0, 1, True), (0, 3, False)],
    ]
    assert seen[4] == [(1, 0, False), (1, 0, False)]
    assert seen[-1] == [(1, 3, False), (1, 2, True)]
    assert [settled(shown) for shown in moments] == [False] * 3 + [True] + [False] * 3 + [True]


def test_episodes_can_be_left_after_so_many_steps_or_on_demand() -> None:
    cut = list(show(Actor(9, 9), episodes=2, max_steps=2))
    assert [shown[0].frame.step for shown in cut] == [0, 1, 2, 0, 1, 2]
    skipped = show(Actor(9, 9), episodes=2)
    moments = iter(skipped)
    next(moments)
    next(moments)
    skipped.skip()
    following = next(moments)[0].frame
    assert (following.episode, following.step) == (1, 0)
    assert next(moments)[0].frame.step == 1


def test_a_show_goes_at_the_slowest_games_pace_and_closes_its_games() -> None:
    actors = Actor(1, fps=50), Actor(1, fps=12)
    with show(*actors) as both:
        assert both.fps == 12
    assert all(actor.closed for actor in actors)
    assert show(Actor(1, fps=900)).fps == 60


def test_the_end_of_an_episode_rests() -> None:
    assert [times for _, times in pictures(show(Actor(2)), pause=7)] == [1, 1, 7]


# files


def test_an_mp4_holds_every_frame_at_its_size(tmp_path: Path) -> None:
    import imageio_ffmpeg

    file = record(show(Actor(4), Actor(2)), tmp_path / "new" / "two.mp4", fps=8)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    width, height = Painter([Caption("")] * 2, [frame()] * 2).size
    about = next(text for text in done.stderr.decode().splitlines() if "Video: h264" in text)
    assert "yuv420p" in about
    assert f"{width}x{height}" in about
    assert "8 fps" in about
    decoded = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3).astype(int)
    assert len(decoded) == 4 + 8  # five moments, the last one for a second
    first = np.asarray(next(iter(pictures(show(Actor(4), Actor(2)))))[0])
    assert np.abs(decoded[0] - first).mean() < 3
    assert list(file.parent.iterdir()) == [file]


def test_a_gif_shows_each_moment_for_its_time(tmp_path: Path) -> None:
    file = record(show(Actor(3)), tmp_path / "one.gif", fps=10)
    with Image.open(file) as image:
        durations = []
        for index in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(index)
            durations.append(image.info["duration"])
        shown = np.asarray(image.convert("RGB"))
    assert durations == [100, 100, 100, 1000]
    expected = np.asarray(list(pictures(show(Actor(3))))[-1][0]).astype(int)
    assert np.abs(shown - expected).mean() < 2
    assert count(shown, theme.CARD) > 10_000


def test_a_gif_finds_colours_that_come_late(tmp_path: Path) -> None:
    plain, late = Image.new("RGB", (20, 20), theme.CARD), Image.new("RGB", (20, 20), theme.NEGATIVE)
    write_gif(tmp_path / "late.gif", [(plain, 1)] * 30 + [(late, 1)], 10)
    with Image.open(tmp_path / "late.gif") as image:
        image.seek(image.n_frames - 1)  # type: ignore[attr-defined]
        assert image.convert("RGB").getpixel((5, 5)) == theme.NEGATIVE


@pytest.mark.parametrize("name", ["film.avi", "film", "mp4"])
def test_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"--record: found '{name}', expected a file that ends in .mp4 or .gif"):
        check_suffix(name)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_recording_that_fails_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")

    class Broken(Actor):
        def episode(self, number: int) -> Iterator[Frame]:
            yield frame()
            yield frame(1)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        record(show(Broken(1)), tmp_path / name)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_headless_is_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setenv("SDL_AUDIODRIVER", "mine")
    with headless():
        assert (os.environ["SDL_VIDEODRIVER"], os.environ["SDL_AUDIODRIVER"]) == ("dummy", "mine")
    assert "SDL_VIDEODRIVER" not in os.environ


# terminal


def test_lines_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    watch_in_terminal(show(Actor(1), Actor(2)), file=output)
    assert output.getvalue().splitlines() == [
        "player 0: episode 1 step 0, value 1.50, action left, left 25% right 75%",
        "player 1: episode 1 step 0, value 1.50, action left, left 25% right 75%",
        "player 0: episode 1 step 1, reward +1 return 1, terminated",
        "player 1: episode 1 step 1, reward +1 return 1, value 1.50, action left, left 25% right 75%",
        "player 1: episode 1 step 2, reward +1 return 2, terminated",
    ]


def test_lines_of_one_player_have_no_title_and_of_namesakes_more() -> None:
    output = io.StringIO()
    watch_in_terminal(show(Actor(0)), file=output)
    assert output.getvalue().startswith("episode 1 step 0")
    twins = show(Actor(0), Actor(0))
    twins.captions = (Caption("ppo", "one"), Caption("ppo", "two"))
    output = io.StringIO()
    watch_in_terminal(twins, file=output)
    assert [text.partition(":")[0] for text in output.getvalue().splitlines()] == ["ppo (one)", "ppo (two)"]


def test_a_line_names_the_actions_of_all_agents() -> None:
    assert "action left / right" in line(frame(decisions=(decision(action=0), decision(action=1))))


def test_half_blocks_are_the_picture() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    text = half_blocks(as_picture(pixels), 5, 3)
    assert text.plain == "\n".join(["▀" * 5] * 3)
    for span in text.spans:
        row, column = divmod(span.start, 6)
        style: Any = span.style
        assert tuple(style.color.triplet) == tuple(pixels[2 * row, column])
        assert tuple(style.bgcolor.triplet) == tuple(pixels[2 * row + 1, column])


def test_without_colours_shades_run_from_dark_to_light() -> None:
    pixels = np.linspace(0, 255, 10).astype(np.uint8)[None, :, None].repeat(2, 0).repeat(3, 2)
    assert half_blocks(as_picture(pixels), 10, 1, colours=False).plain == " .:-=+*#%@"


@pytest.mark.parametrize("colours", [True, False])
def test_a_terminal_is_drawn_on_and_no_color_is_heeded(colours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    output, pauses = io.StringIO(), []
    monkeypatch.setattr(output, "isatty", lambda: True)
    watch_in_terminal(show(Actor(1), Actor(2)), fps=5, file=output, sleep=pauses.append)
    drawn = output.getvalue()
    assert ("\x1b[38;2;" in drawn) == colours
    assert ("▀" in drawn) == colours
    assert "player 1 · episode 1" in drawn
    assert "terminated after 1 steps" in drawn
    assert "▶ left" in drawn
    assert pauses == [0.2, 0.2, 1.0]


@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_terminal_of_any_width_is_enough(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True)
    many = tuple(f"name {i}" for i in range(18))
    item = Shown(frame(image=None, decisions=(Decision(many, "q", np.arange(18.0), action=3),)))
    drawn = console.render_lines(panels([Caption("title")] * 2, [item, Shown(frame())], [Ranges(), Ranges()], console))
    assert {sum(segment.cell_length for segment in row) for row in drawn} == {width}


def drawn_in(console: Console, item: Shown) -> str:
    with console.capture() as capture:
        console.print(panels([Caption("title")], [item], [Ranges()], console))
    return capture.get()


def test_a_terminal_shows_a_games_own_text_with_its_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(width=80, height=24, force_terminal=True, color_system="truecolor")
    item = Shown(frame(image=None, text="a \033[31mred\033[0m door\nbelow\n"))
    drawn = drawn_in(console, item)
    assert "a \033[31mred\033[0m door" in drawn
    assert drawn.index("door") < drawn.index("below") < drawn.index("reward")
    assert "▀" not in drawn
    assert "\033[2ma \033[0m\033[2;31mred" in drawn_in(console, replace(item, held=True))
    plain = drawn_in(Console(width=80, height=24, force_terminal=True, no_color=True), item)
    assert "\033[31m" not in plain
    assert "a red door" in plain


def test_a_text_that_is_too_high_says_so() -> None:
    assert told("\n".join("abcd"), 4).plain == "a\nb\nc\nd"
    assert told("\n".join("abcde"), 4).plain == "a\nb\nc\n… 2 more lines: make the terminal higher"
    console = Console(width=80, height=24, force_terminal=True)
    rows = drawn_in(console, Shown(frame(image=None, text="row\n" * 50))).splitlines()
    assert len(rows) < 24
    assert any("▶ left" in row for row in rows)


# window


def test_keys_move_the_clock() -> None:
    clock = Clock(fps=10)
    clock.shown(now=0.0)
    assert not clock.due(0.05)
    assert clock.due(0.11)
    clock.press("space")
    assert not clock.due(100.0)
    clock.press("right")
    assert clock.due(0.0)
    assert not clock.due(100.0)
    clock.press("space")
    assert clock.due(100.0)
    for _ in range(9):
        clock.press("+")
    assert clock.speed == 16
    clock.shown(now=0.0, rest=1.0)
    assert not clock.due(1.0)
    assert clock.due(1.007)
    for _ in range(9):
        clock.press("-")
    assert clock.speed == 1 / 8
    clock.press("n")
    assert clock.skip
    assert clock.due(0.0)
    clock.press("escape")
    assert clock.quit


def test_a_window_plays_and_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    seen: list[tuple[int, int]] = []

    class Pressing(Actor):
        """Presses n at the second frame of the first episode, q at the second of the second."""

        def episode(self, number: int) -> Iterator[Frame]:
            for one in super().episode(number):
                seen.append((one.episode, one.step))
                if one.step == 1:
                    key = (pygame.K_n, pygame.K_q)[number]
                    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=""))
                yield one

    watch_in_window(show(Pressing(50, 50), episodes=None), fps=200)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert not pygame.display.get_init()


def test_a_window_closes_when_the_show_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    watch_in_window(show(Actor(2), episodes=1, max_steps=1), fps=500)
    assert not pygame.display.get_init()


@pytest.mark.parametrize("driver", ["offscreen", "dummy"])
def test_without_a_display_one_line_says_what_to_do(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: driver)
    with pytest.raises(ConfigError, match=r"^there is no display .*: use --terminal, or --record FILE.mp4$"):
        watch_in_window(show(Actor(2)))


def test_a_display_that_fails_to_open_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")

    def fail() -> None:
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "init", fail)
    with pytest.raises(ConfigError, match=r"\(No available video device\): use --terminal"):
        watch_in_window(show(Actor(2)))
