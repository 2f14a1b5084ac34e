"""Several players, one beside the other, episode by episode: what is on show at each moment."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count, islice
from types import TracebackType

from PIL import Image

from agents.config import Mode
from agents.policy import Policy
from agents.rollout import Frame, Player
from agents.watch.drawing import Caption, Painter, Shown
from envs.task import Task

FASTEST = 60
"""Frames a second at which a game that asks for more is shown."""


class Show(AbstractContextManager["Show"]):
    """The same episodes, from the same seeds, played by each player.

    A player whose episode is over waits, its last frame held, until all are; then the next episode begins for all.

    Args:
        players: at least one.
        captions: one per player.
        episodes: how many; None for ever.
        max_steps: an episode is left after so many steps; None: when it ends.
    """

    def __init__(
        self,
        players: Sequence[Player],
        captions: Sequence[Caption],
        *,
        episodes: int | None = 1,
        max_steps: int | None = None,
    ) -> None:
        self.players, self.captions = tuple(players), tuple(captions)
        self.episodes, self.max_steps = episodes, max_steps
        self._skip = False

    @property
    def fps(self) -> int:
        """Frames a second at which the slowest of the games wants to be seen."""
        return max(1, min(FASTEST, *(player.stage.fps for player in self.players)))

    def __iter__(self) -> Iterator[tuple[Shown, ...]]:
        for number in count() if self.episodes is None else range(self.episodes):
            yield from self._episode(number)

    def skip(self) -> None:
        """Leave this episode; the next moment is the first of the next one."""
        self._skip = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for player in self.players:
            player.close()

    def _episode(self, number: int) -> Iterator[tuple[Shown, ...]]:
        self._skip = False
        limit = None if self.max_steps is None else self.max_steps + 1
        streams = [islice(player.episode(number), limit) for player in self.players]
        shown: list[Shown] = []
        while not self._skip:
            frames = [next(stream, None) for stream in streams]
            if all(frame is None for frame in frames):
                return
            shown = [_shown(frame, place, shown) for place, frame in enumerate(frames)]
            yield tuple(shown)


def _shown(frame: Frame | None, place: int, before: list[Shown]) -> Shown:
    return Shown(before[place].frame, held=True) if frame is None else Shown(frame)


def settled(shown: Sequence[Shown]) -> bool:
    """Whether all episodes have ended: a moment worth looking at for longer."""
    return all(item.frame.over for item in shown)


def pictures(show: Show, pause: int = 1) -> Iterator[tuple[Image.Image, int]]:
    """Every moment as a picture, all of one size, and for how many frames to show it: `pause` at an episode's end."""
    painter: Painter | None = None
    for shown in show:
        if painter is None:
            painter = Painter(show.captions, [item.frame for item in shown])
        yield painter.paint(shown), pause if settled(shown) else 1


def side_by_side(
    policies: Sequence[tuple[str, Policy]],
    *,
    task: Task,
    seed: int = 0,
    mode: Mode = "sampled",
    episodes: int | None = 1,
    max_steps: int | None = None,
) -> Show:
    """A show of several policies, each with its title, on one task. Raises MappingError if one does not fit it."""
    players = [Player(policy, task, seed=seed, mode=mode) for _, policy in policies]
    captions = [
        Caption(title, short(task), player.interface.features)
        for (title, _), player in zip(policies, players, strict=True)
    ]
    return Show(players, captions, episodes=episodes, max_steps=max_steps)


def short(task: Task) -> str:
    """The task as a caption: without our own prefix."""
    return str(task).removeprefix("headstart/")
