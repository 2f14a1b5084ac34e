"""Pictures as small grey ones, the last few in a stack: the usual preprocessing of Mnih et al. (2015)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from pettingzoo.utils.wrappers import BaseParallelWrapper
from PIL import Image

from envs.errors import ConfigError
from envs.parallel.conversions import Game, Results, stepper

Array = npt.NDArray[Any]

SIDE, STACK = 84, 4


class SmallGrey(BaseParallelWrapper[str, Any, Any]):
    """What agents see as (side, side, stack) uint8: brightness, resized by averaging, the newest last.

    The first picture of an episode fills the stack.

    Args:
        game: a parallel game whose agents see pictures (H, W, 3) uint8.
        side: of the small pictures, in pixels.
        stack: how many.
        one_view: whether all agents see the same picture, which then is made small once.
    """

    def __init__(self, game: Game, side: int = SIDE, stack: int = STACK, *, one_view: bool = False) -> None:
        super().__init__(game)
        if side < 1 or stack < 1:
            raise ConfigError(f"pictures of side {side} in stacks of {stack}: expected at least 1 of both")
        self.metadata, self.render_mode = game.metadata, getattr(game, "render_mode", None)
        self.side, self.stack, self.one_view = side, stack, one_view
        self.possible_agents = list(game.possible_agents)
        self._space = spaces.Box(0, 255, (side, side, stack), np.uint8)
        self._stacks: dict[str, Array] = {}
        self._step = stepper(game)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same for every agent."""
        return self._space

    @property
    def agents(self) -> list[str]:
        """Who plays."""
        return list(self.env.agents)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        small = self._small(observations)
        self._stacks = {agent: np.repeat(picture[..., None], self.stack, axis=-1) for agent, picture in small.items()}
        return dict(self._stacks), infos

    def step(self, actions: dict[str, Any]) -> Results:
        """One step."""
        observations, *rest = self._step(actions)
        for agent, picture in self._small(observations).items():
            stack = np.empty((self.side, self.side, self.stack), np.uint8)
            stack[..., :-1] = self._stacks[agent][..., 1:]
            stack[..., -1] = picture
            self._stacks[agent] = stack
        rewards, terminations, truncations, infos = rest
        return {agent: self._stacks[agent] for agent in observations}, rewards, terminations, truncations, infos

    def _small(self, observations: Mapping[str, Array]) -> dict[str, Array]:
        if self.one_view and observations:
            return dict.fromkeys(observations, small_grey(next(iter(observations.values())), self.side))
        return {agent: small_grey(picture, self.side) for agent, picture in observations.items()}


def small_grey(picture: Array, side: int = SIDE) -> Array:
    """A picture (H, W, 3) uint8 as (side, side) uint8: luma of ITU-R 601, resized by averaging."""
    grey = Image.fromarray(np.ascontiguousarray(picture)).convert("L")
    return np.asarray(grey.resize((side, side), Image.Resampling.BOX))
