"""Opponents that look ahead, on OpenSpiel's states: one ply, alpha-beta, Monte-Carlo tree search."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import ConfigError
from envs.registry import missing_module
from envs.turns.games import Search, TurnGames

Array = npt.NDArray[Any]

NUMBERED = {"mcts": 100, "minimax": 4}
"""Opponents that are told how much to search, with an example."""
SOON = 1000
"""A win is worth 1/SOON more for each ply that it comes sooner, and a loss less for each that it comes later."""


class Searcher:
    """Looks at one position after the other."""

    name: str
    looks = False

    def choose(
        self,
        games: TurnGames,
        boards: Array,
        observations: Array,
        masks: Array,
        generators: Sequence[np.random.Generator],
    ) -> Array:
        """The best action found on each of the boards (M,): (M,) int64. Raises ConfigError where it cannot search."""
        self.check(games)
        found = []
        for board, generator in zip(boards.tolist(), generators, strict=True):
            position = games.search(board)
            if position is None:
                raise self._no_twin(games)
            found.append(position.ours(self.best(position, generator)))
        return np.array(found, dtype=np.int64)

    def check(self, games: TurnGames) -> None:
        """Raises ConfigError for games in which it cannot search, or would see what is hidden; MissingExtra."""
        if games.hidden:
            raise ConfigError(
                f"opponent {self.name!r} would see what is hidden in {games.name}: "
                "expected one that looks at observations only, such as 'random'"
            )
        if not games.searchable:
            raise self._no_twin(games)
        try:
            import pyspiel  # noqa: F401
        except ModuleNotFoundError as error:
            raise missing_module(self.name, error, "opponent") from error

    def _no_twin(self, games: TurnGames) -> ConfigError:
        return ConfigError(
            f"opponent {self.name!r} searches in OpenSpiel's states, and OpenSpiel has no twin of "
            f"{games.name}: expected 'random', 'first' or 'module:function'"
        )

    def best(self, position: Search, generator: np.random.Generator) -> int:
        """OpenSpiel's action."""
        raise NotImplementedError


class Scripted(Searcher):
    """Wins if it can, else plays a random move after which the other cannot win at once, else a random move."""

    name = "scripted"

    def best(self, position: Search, generator: np.random.Generator) -> int:
        """OpenSpiel's action."""
        state = position.state
        player = state.current_player()
        actions = generator.permutation(state.legal_actions()).tolist()
        children = [state.child(action) for action in actions]
        for action, child in zip(actions, children, strict=True):
            if child.is_terminal() and child.player_return(player) > 0:
                return int(action)
        safe = (action for action, child in zip(actions, children, strict=True) if not _loses(child, player))
        return int(next(safe, actions[0]))


def _loses(state: Any, player: int) -> bool:
    """Whether the game is lost for a player, or can be by the next move."""
    if state.is_terminal():
        return bool(state.player_return(player) < 0)
    if state.current_player() == player:
        return False
    children = (state.child(action) for action in state.legal_actions())
    return any(child.is_terminal() and child.player_return(player) < 0 for child in children)


class MCTS(Searcher):
    """OpenSpiel's MCTSBot: UCT with random rollouts, proven wins and losses backed up.

    Args:
        simulations: how many a move.
        exploration: the constant of UCT; 2, as in OpenSpiel's own examples.
    """

    def __init__(self, simulations: int, exploration: float = 2.0) -> None:
        self.simulations, self.exploration = simulations, exploration
        self.name = f"mcts:{simulations}"

    def best(self, position: Search, generator: np.random.Generator) -> int:
        """OpenSpiel's action."""
        import pyspiel

        seeds = generator.integers(2**31 - 1, size=2).tolist()
        bot = pyspiel.MCTSBot(
            position.state.get_game(),
            pyspiel.RandomRolloutEvaluator(n_rollouts=1, seed=seeds[0]),
            self.exploration,
            self.simulations,
            max_memory_mb=1000,
            solve=True,
            seed=seeds[1],
            verbose=False,
        )
        return int(bot.step(position.state))


class Minimax(Searcher):
    """Alpha-beta search to a depth; beyond it a position counts as a draw.

    Wins are taken as soon, losses as late as can be; of equally good moves one is drawn.

    Args:
        depth: plies.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.name = f"minimax:{depth}"

    def best(self, position: Search, generator: np.random.Generator) -> int:
        """OpenSpiel's action."""
        state = position.state
        player, best, value = state.current_player(), -1, -np.inf
        for action in generator.permutation(state.legal_actions()).tolist():
            # Only what is better than the best so far counts, so the first of equals in a random order wins.
            found = _value(state.child(action), player, self.depth - 1, value, np.inf)
            if found > value:
                best, value = action, found
        return int(best)


def _value(state: Any, player: int, depth: int, low: float, high: float) -> float:
    """What a state is worth to a player, exact within (low, high): fail-soft alpha-beta (Knuth & Moore 1975)."""
    if state.is_terminal():
        return float(state.player_return(player)) * (1 + depth / SOON)
    if depth == 0:
        return 0.0
    mine = state.current_player() == player
    value = -np.inf if mine else np.inf
    for action in state.legal_actions():
        found = _value(state.child(action), player, depth - 1, low, high)
        if mine:
            value = max(value, found)
            low = max(low, value)
        else:
            value = min(value, found)
            high = min(high, value)
        if low >= high:
            break
    return float(value)
