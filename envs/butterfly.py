"""PettingZoo's butterfly games with names for what their agents see and do; screens as small grey pictures."""

from collections.abc import Callable
from typing import Any

from pettingzoo.utils.wrappers import BaseParallelWrapper

from envs.parallel.conversions import Game, make_of, stepper
from envs.parallel.pictures import SIDE, STACK, SmallGrey

KAZ_FEATURES = ("distance", "offset_x", "offset_y", "heading_x", "heading_y")
"""Of each row: the agent itself (with its position for offsets), archers, knights, swords, arrows, zombies."""
KAZ_ACTIONS = ("forward", "backward", "turn_left", "turn_right", "attack", "noop")
PADDLE_ACTIONS = ("noop", "up", "down")
PISTON_ACTIONS = ("down", "stay", "up")


def knights_archers_zombies(obs_method: str = "vector", **arguments: Any) -> Game:
    """PettingZoo's knights_archers_zombies_v11: rows (entities, 5), or small grey pictures for obs_method="image"."""
    game: Game = FreshSpawns(
        make_of("pettingzoo.butterfly.knights_archers_zombies_v11")(obs_method=obs_method, **arguments)
    )
    if obs_method == "image":
        game = SmallGrey(game)
    return _named(game, KAZ_FEATURES if obs_method == "vector" else None, KAZ_ACTIONS)


class FreshSpawns(BaseParallelWrapper[str, Any, Any]):
    """Knights_archers_zombies whose reset forgets the last episode.

    PettingZoo's keeps counting the steps to the next zombie, so that a seed alone does not decide an episode.
    """

    def __init__(self, game: Game) -> None:
        super().__init__(game)
        self.metadata, self.render_mode = game.metadata, getattr(game, "render_mode", None)
        self.possible_agents = list(game.possible_agents)
        self.step = stepper(game)

    @property
    def agents(self) -> list[str]:
        """Who plays."""
        return list(self.env.agents)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode."""
        base: Any = self.env.unwrapped
        base.zombie_spawn_interval.reset()
        base.kill_list = []
        observations, infos = self.env.reset(seed=seed, options=options)
        return observations, infos


def cooperative_pong(**arguments: Any) -> Game:
    """PettingZoo's cooperative_pong_v6, both paddles seeing the same screen; `agent_indicator` tells them who they are.

    The game only draws what its agents see if a render mode is set.
    """
    arguments = {"render_mode": "rgb_array", **arguments}
    return _screen(make_of("pettingzoo.butterfly.cooperative_pong_v6"), PADDLE_ACTIONS, one_view=True, **arguments)


def pistonball(**arguments: Any) -> Game:
    """PettingZoo's pistonball_v6, each piston seeing the part of the screen around it."""
    names = ("up",) if arguments.get("continuous", True) else PISTON_ACTIONS
    return _screen(make_of("pettingzoo.butterfly.pistonball_v6"), names, **arguments)


def _screen(
    make: Callable[..., Game],
    actions: tuple[str, ...],
    *,
    side: int = SIDE,
    stack: int = STACK,
    one_view: bool = False,
    **arguments: Any,
) -> Game:
    game = SmallGrey(make(**arguments), side, stack, one_view=one_view)
    return _named(game, tuple(f"grey_{age}" for age in range(stack - 1, -1, -1)), actions)


def _named(game: Game, features: tuple[str, ...] | None, actions: tuple[str, ...]) -> Game:
    game.metadata = {**game.metadata, "headstart": {"features": features, "actions": actions}}
    return game
