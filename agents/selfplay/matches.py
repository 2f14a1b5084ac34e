"""Matches: two players on many boards, both seats equally often; and everybody against everybody.

Games 2i and 2i + 1 are a pair: the seats are swapped and the random numbers are the same, those of chance and of
whoever sits in each seat. So are those of game i of every other match of a seed. Who has the higher return has won.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from agents.generators import derived_seed
from envs.errors import ConfigError, GameError
from envs.turns.games import OVER, Array, TurnGames
from envs.turns.opponents import Opponent, chosen

AT_ONCE = 32
"""Boards that are played side by side."""
LONGEST = 100_000
"""Moves after which a game is taken for one that never ends."""
CHANCE, SEATS = 0, 1
"""Streams of random numbers of a game: of chance, and from here on of each seat."""

Opener = Callable[[int], TurnGames]
"""Opens so many boards of the game."""
OnGame = Callable[[int, int], None]
"""Called with the games that are over and the moves that were made, of all matches together."""


@dataclass(frozen=True)
class Outcomes:
    """A match, in the order of its games; in even ones the first of the two players moves first."""

    returns: Array
    """(n_games, 2) float64, of the two players."""
    lengths: Array
    """(n_games,) int64, in moves of both together."""

    @property
    def wins(self) -> int:
        """Of the first player."""
        return int((self.returns[:, 0] > self.returns[:, 1]).sum())

    @property
    def draws(self) -> int:
        """Games in which nobody won."""
        return int((self.returns[:, 0] == self.returns[:, 1]).sum())

    @property
    def losses(self) -> int:
        """Of the first player."""
        return int((self.returns[:, 0] < self.returns[:, 1]).sum())


def play_match(
    opener: Opener,
    players: tuple[Opponent, Opponent],
    n_games: int,
    *,
    seed: int = 0,
    on_move: Callable[[int, int], None] | None = None,
) -> Outcomes:
    """The games of two players.

    Args:
        opener: opens the boards.
        players: who plays.
        n_games: how many, an even number.
        seed: decides all chance, with the number of the pair of games.
        on_move: called with (games over, moves made) of this match as it goes on.

    Raises:
        ConfigError: an odd number of games, or a game that is not for two.
        GameError: a player raised, or made an illegal move.
    """
    if n_games < 2 or n_games % 2:
        raise ConfigError(f"found {n_games} games, expected an even number: both seats are played equally often")
    returns, lengths = np.zeros((n_games, 2)), np.zeros(n_games, dtype=np.int64)
    for first in range(0, n_games, AT_ONCE):
        numbers = np.arange(first, min(first + AT_ONCE, n_games))
        games = opener(len(numbers))
        if games.n_players != 2:
            raise ConfigError(f"{games.name} is a game for {games.n_players}: matches are between two players")
        moves = int(lengths.sum())
        for over, made in _play(games, players, numbers, seed):
            if on_move is not None:
                on_move(first + over, moves + int(made.sum()))
        lengths[numbers] = made
        found = games.returns(np.arange(len(numbers)))  # (n, seat)
        returns[numbers] = np.where((numbers % 2 == 0)[:, None], found, found[:, ::-1])
    return Outcomes(returns, lengths)


def _play(games: TurnGames, players: Sequence[Opponent], numbers: Array, seed: int) -> Iterator[tuple[int, Array]]:
    """Play these games to their ends; after every round of moves, how many are over and their lengths so far."""
    boards = np.arange(len(numbers))
    streams = [
        [np.random.default_rng(derived_seed(seed, number // 2, stream)) for number in numbers.tolist()]
        for stream in range(SEATS + games.n_players)
    ]
    games.reset(boards, streams[CHANCE])
    lengths = np.zeros(len(numbers), dtype=np.int64)
    for _ in range(LONGEST):
        movers = games.to_move()
        going = movers != OVER
        yield int((~going).sum()), lengths
        if not going.any():
            return
        for who, player in enumerate(players):
            mine = np.flatnonzero(going & ((movers + numbers) % 2 == who))
            if mine.size:
                generators = [streams[SEATS + movers[board]][board] for board in mine.tolist()]
                games.apply(mine, chosen(player, games, mine, movers[mine], generators))
        lengths += going
    raise GameError(f"{games.name}: a game is not over after {LONGEST:,} moves")


@dataclass(frozen=True)
class Table:
    """Everybody's games against everybody: arrays of the shape (players, players)."""

    wins: Array
    """wins[i, j]: how often i beat j."""
    draws: Array
    """Symmetric."""
    returns: Array
    """Mean return of i against j; 0 on the diagonal and where they did not meet."""


def round_robin(
    opener: Opener,
    players: Sequence[Opponent],
    n_games: int,
    *,
    seed: int = 0,
    on_game: OnGame | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> Table:
    """Matches of `n_games` between all pairs of players, or the pairs (i, j) given. Raises as `play_match` does."""
    size, over, made = len(players), 0, 0
    wins, draws, returns = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size))
    for i, j in pairs if pairs is not None else combinations(range(size), 2):

        def on_move(games: int, moves: int, over: int = over, made: int = made) -> None:
            if on_game is not None:
                on_game(over + games, made + moves)

        found = play_match(opener, (players[i], players[j]), n_games, seed=seed, on_move=on_move)
        wins[i, j], wins[j, i] = found.wins, found.losses
        draws[i, j] = draws[j, i] = found.draws
        returns[i, j], returns[j, i] = found.returns.mean(axis=0)
        over, made = over + n_games, made + int(found.lengths.sum())
    return Table(wins, draws, returns)
