"""Pictures of worlds: pixel for pixel MiniGrid's, and clear to a person."""

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import gymnasium
import minigrid
import numpy as np
import pytest
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj

from envs.errors import ConfigError, UnknownName
from envs.fonts import font
from envs.grid import render
from envs.grid.cells import (
    CARRYING,
    COLOURS,
    DIRECTION,
    DOOR,
    EMPTY,
    GOAL,
    LAVA,
    LEFT,
    MISSION,
    OPEN_DOOR,
    RED,
    RIGHT,
    STATUS,
    STEPS,
    WALL,
    YELLOW,
    X,
    Y,
    ball,
    box,
    door,
    key,
)
from envs.grid.single import GridEnv
from envs.grid.vector import GridVectorEnv
from envs.headless import SMALLEST_WINDOW, Window

FAMILIES = (
    "Empty-8x8-v0",
    "FourRooms-v0",
    "DoorKey-8x8-v0",
    "MultiRoom-N4-S5-v1",
    "Unlock-v0",
    "UnlockPickup-v0",
    "BlockedUnlockPickup-v0",
    "KeyCorridorS3R3-v0",
    "LockedRoom-v0",
    "LavaGapS7-v0",
    "LavaCrossingS9N2-v0",
    "SimpleCrossingS9N2-v0",
    "DistShift1-v0",
    "Dynamic-Obstacles-8x8-v0",
    "GoToDoor-8x8-v0",
    "Fetch-8x8-N3-v0",
    "ObstructedMaze-2Dlhb-v1",
)
MISSIONS = ("use the key to open the door and then get to the goal", "pick up the red key")


def packed(thing: WorldObj | None) -> int:
    kind, colour, state = (EMPTY, 0, 0) if thing is None else thing.encode()
    return kind | colour << 4 | state << 7


def world(env: Any) -> tuple[np.ndarray, np.ndarray]:
    """MiniGrid's world in our arrays."""
    cells = np.array([packed(thing) for thing in env.grid.grid], dtype=np.uint16).reshape(env.height, env.width)
    status = np.zeros(STATUS, dtype=np.int32)
    status[X], status[Y] = env.agent_pos
    status[DIRECTION], status[CARRYING], status[STEPS] = env.agent_dir, packed(env.carrying), env.step_count
    return cells, status


def small(*things: int) -> tuple[np.ndarray, np.ndarray]:
    """A walled corridor with the agent at its left end, facing right, and these things before it."""
    cells = np.full((3, len(things) + 3), WALL, dtype=np.uint16)
    cells[1, 1:-1] = [EMPTY, *things]
    status = np.zeros(STATUS, dtype=np.int32)
    status[[X, Y, DIRECTION, CARRYING]] = 1, 1, RIGHT, EMPTY
    return cells, status


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frame_is_minigrids_pixel_for_pixel(name: str) -> None:
    env: Any = gymnasium.make(f"MiniGrid-{name}", render_mode="rgb_array", agent_view_size=5, tile_size=8)
    actions = np.random.default_rng(0)
    for seed in range(3):
        seen = env.reset(seed=seed)[0]
        for _ in range(12):
            cells, status = world(env.unwrapped)
            assert np.array_equal(render.frame(cells, status, seen["image"][..., 0] != 0, tile=8), env.render())
            seen, _, terminated, truncated, _ = env.step(int(actions.integers(env.action_space.n)))
            if terminated or truncated:
                break
    env.close()


@pytest.mark.parametrize("view", [3, 7, 9])
@pytest.mark.parametrize("see_through_walls", [True, False])
def test_what_is_seen_is_lit_in_every_direction(view: int, see_through_walls: bool) -> None:
    env: Any = minigrid.envs.FourRoomsEnv(
        render_mode="rgb_array", agent_view_size=view, see_through_walls=see_through_walls, tile_size=4
    )
    seen = env.reset(seed=3)[0]
    for _ in range(4):
        cells, status = world(env)
        assert np.array_equal(render.frame(cells, status, seen["image"][..., 0] != 0, tile=4), env.render())
        seen = env.step(env.actions.left)[0]


@pytest.mark.parametrize("seed", range(3))
def test_every_thing_is_drawn_as_minigrid_draws_it(seed: int) -> None:
    """Cells at random, wherever the agent stands."""
    drawing = np.random.default_rng(seed)
    env: Any = minigrid.envs.EmptyEnv(size=9, render_mode="rgb_array", agent_view_size=5, tile_size=6)
    env.reset(seed=seed)
    for place in range(len(env.grid.grid)):
        kind, colour = drawing.integers(1, 10), drawing.integers(6)
        env.grid.grid[place] = WorldObj.decode(kind, colour, drawing.integers(3) if kind == DOOR else 0)
    env.agent_pos, env.agent_dir = (int(drawing.integers(9)), int(drawing.integers(9))), int(drawing.integers(4))
    cells, status = world(env)
    assert np.array_equal(render.frame(cells, status, env.gen_obs()["image"][..., 0] != 0, tile=6), env.render())


def test_without_a_view_nothing_is_lit() -> None:
    env: Any = minigrid.envs.DoorKeyEnv(size=6, render_mode="rgb_array", highlight=False)
    env.reset(seed=1)
    assert np.array_equal(render.frame(*world(env)), env.render())
    cells, status = world(env)
    drawn = env.grid.render(render.TILE, env.agent_pos, env.agent_dir)
    assert np.array_equal(render.frame(cells, status), drawn)
    assert render.frame(cells, status).dtype == np.uint8


def test_marks_that_nobody_sees_change_no_picture() -> None:
    cells, status = small(int(box(RED)), int(key(YELLOW)))
    plain = render.frame(cells, status)
    cells[1, 2] |= 1 << 9 | 4 << 10
    cells[1, 3] |= 1 << 13
    assert np.array_equal(render.frame(cells, status), plain)


def test_drawing_leaves_the_world_and_the_tiles_alone() -> None:
    cells, status = small(int(key(YELLOW)), GOAL)
    before = cells.copy(), status.copy()
    first = render.frame(cells, status, missions=MISSIONS)
    first_copy = first.copy()
    first[:] = 0
    assert np.array_equal(render.frame(cells, status, missions=MISSIONS), first_copy)
    assert np.array_equal(cells, before[0])
    assert np.array_equal(status, before[1])


def test_the_strip_below_tells_mission_and_what_is_carried_and_keeps_its_size() -> None:
    cells, status = small(int(key(YELLOW)), GOAL, LAVA)
    bare = render.frame(cells, status)
    frames = []
    for mission in range(2):
        for carried in (EMPTY, int(key(YELLOW)), int(ball(RED))):
            status[MISSION], status[CARRYING] = mission, carried
            frames.append(render.frame(cells, status, missions=MISSIONS))
    assert {one.shape for one in frames} == {frames[0].shape}
    assert frames[0].shape[0] > bare.shape[0]
    assert all(np.array_equal(one[: bare.shape[0]], bare) for one in frames)
    assert len({one.tobytes() for one in frames}) == len(frames)
    assert all(part % 2 == 0 for part in frames[0].shape[:2])


@pytest.mark.parametrize("tile", [4, 12, 32])
@pytest.mark.parametrize("width", [5, 8, 25])
def test_a_mission_is_wrapped_within_the_picture(tile: int, width: int) -> None:
    size = max(10, tile * width // 32)
    room = max(tile * width - size, 80)
    lines = render._wrapped(MISSIONS[0], room, size)
    assert " ".join(lines) == MISSIONS[0]
    assert all(font(size).getlength(line) <= room for line in lines)


def test_text_tells_everything_that_a_picture_does() -> None:
    things = [int(door(YELLOW, state)) for state in range(3)] + [int(ball(RED)), int(box(RED)), GOAL, LAVA, EMPTY]
    cells, status = small(*things)
    status[CARRYING], status[STEPS] = int(key(YELLOW)), 12
    assert render.text(cells, status, "get to the goal").splitlines() == [
        "mission: get to the goal",
        "step 12, carries yellow key",
        "######################",
        "##> OyCyLybrxrGG~~ .##",
        "######################",
        "> agent  Oy open yellow door  Cy closed yellow door  Ly locked yellow door",
        "br red ball  xr red box  GG goal  ~~ lava",
    ]


@pytest.mark.parametrize(("direction", "mark"), list(enumerate(">v<^")))
def test_the_agent_faces_somewhere_and_stands_on_something(direction: int, mark: str) -> None:
    cells, status = small(EMPTY)
    status[DIRECTION] = direction
    assert f"##{mark}  .##" in render.text(cells, status, "")
    cells[1, 1] = door(YELLOW, OPEN_DOOR)
    assert f"##{mark}O .##" in render.text(cells, status, "")


def test_colours_are_told_by_codes_only_when_asked() -> None:
    cells, status = small(*(int(key(colour)) for colour in range(len(COLOURS))), GOAL, LAVA)
    status[DIRECTION] = LEFT
    plain, painted = render.text(cells, status, "x"), render.text(cells, status, "x", colour=True)
    assert "\033" not in plain
    assert re.sub(r"\033\[[0-9;]*m", "", painted) == plain
    codes = {re.search(rf"\033\[([0-9;]*)mk{letter}", painted).group(1) for letter in "rgbpye"}  # type: ignore[union-attr]
    assert len(codes) == len(COLOURS)


def test_every_thing_has_letters_of_its_own() -> None:
    looks = [EMPTY, WALL, GOAL, LAVA]
    looks += [int(make(colour)) for make in (key, ball, box) for colour in range(6)]
    looks += [int(door(colour, state)) for colour in range(6) for state in range(3)]
    assert len({render._letters(look) for look in looks}) == len(looks)
    assert len({render._named(look) for look in looks}) == len(looks)


def test_a_window_shows_frames_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window(fps=500)
    window.close()
    frame = render.frame(*small(int(key(YELLOW))), missions=MISSIONS)
    window.show(frame, "a game")
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    times = shown.shape[0] // frame.shape[0]
    assert max(shown.shape) >= SMALLEST_WINDOW
    assert np.array_equal(shown, frame.repeat(times, axis=0).repeat(times, axis=1))
    assert pygame.display.get_caption()[0] == "a game"
    window.show(np.zeros((600, 300, 3), np.uint8))
    assert pygame.display.get_surface().get_size() == (300, 600)
    window.close()
    window.close()
    assert not pygame.display.get_init()


def test_a_window_keeps_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window, waits = Window(fps=7), []
    frame = render.frame(*small())
    window.show(frame)
    window._clock = type("Clock", (), {"tick": staticmethod(waits.append)})
    window.show(frame)
    window.close()
    assert waits == [7]


def test_without_a_display_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(ConfigError, match=r"^there is no display .*: use render_mode='rgb_array' or 'ansi'$"):
        GridEnv(family="door_key", size=5, render_mode="human").reset(seed=0)


def test_pygame_and_minigrid_are_imported_only_to_draw() -> None:
    code = "import envs.grid.single, sys; sys.exit(bool({'pygame', 'minigrid'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_tiles_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, status = small(int(key(YELLOW)))
    first = render.frame(cells, status, tile=6)
    monkeypatch.setattr(Grid, "render_tile", None)
    assert np.array_equal(render.frame(cells, status, tile=6), first)


def test_an_environment_has_pictures_with_mission_and_what_is_carried() -> None:
    env = GridEnv(family="door_key", size=5, render_mode="rgb_array")
    env.reset(seed=0)
    status = env.worlds.status[0]
    seen = env.observe()[..., 0] != 0
    picture = env.render()
    assert np.array_equal(picture, render.frame(env.worlds.cells[0], status, seen, missions=env.missions))
    status[CARRYING] = key(YELLOW)
    assert not np.array_equal(env.render(), picture)
    env.close()


def test_an_environment_has_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    env = GridEnv(family="door_key", size=5, render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == render.text(env.worlds.cells[0], env.worlds.status[0], env.missions[0])
    assert GridEnv(family="door_key").render() is None


@pytest.mark.parametrize(
    ("terminal", "no_color", "painted"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_an_environments_text_has_colours_in_a_terminal(
    terminal: bool, no_color: str, painted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setenv("NO_COLOR", no_color)
    env = GridEnv(family="door_key", size=5, render_mode="ansi")
    env.reset(seed=0)
    assert ("\033[" in env.render()) == painted


def test_an_environment_has_a_window_that_opens_when_it_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    waits: list[float] = []
    monkeypatch.setattr(pygame.time, "Clock", lambda: type("Clock", (), {"tick": staticmethod(waits.append)}))
    env = GridEnv(family="door_key", size=5, render_mode="human")
    assert not pygame.display.get_init()
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    assert waits == [render.FPS] * 3
    env.close()
    assert not pygame.display.get_init()


def test_a_batch_has_a_picture_of_each_of_its_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = GridVectorEnv(3, family="door_key", size=5, render_mode="rgb_array")
    batch.reset(seed=4)
    pictures = batch.render()
    assert pictures is not None
    for index, picture in enumerate(pictures):
        env = GridEnv(family="door_key", size=5, render_mode="rgb_array")
        env.reset(seed=4 + index)
        assert np.array_equal(picture, env.render())
    batch.close()
    assert GridVectorEnv(3, family="door_key").render() is None
    monkeypatch.setattr(sys, "__stdout__", None)
    texts = GridVectorEnv(2, family="door_key", render_mode="ansi")
    texts.reset(seed=4)
    assert [text.splitlines()[1] for text in texts.render() or ()] == ["step 0, carries nothing"] * 2


def test_permuted_codes_hide_no_light() -> None:
    """Only what the agent is told is permuted: the picture is the world's, and what is seen stays lit."""
    plain, permuted = (
        GridEnv(family="door_key", size=6, render_mode="rgb_array", **dials)
        for dials in ({}, {"permute_objects": 3, "permute_colours": 3, "observation": "dict"})
    )
    plain.reset(seed=1)
    permuted.reset(seed=1)
    assert np.array_equal(plain.render(), permuted.render())


@pytest.mark.parametrize("environment", [GridEnv, GridVectorEnv])
def test_a_render_mode_that_there_is_not_is_named(environment: Any) -> None:
    with pytest.raises(UnknownName, match=r"unknown render mode of grid worlds 'rgb_aray'.*rgb_array"):
        environment(family="door_key", render_mode="rgb_aray")
