"""A person at one seat of a game for two, in the terminal: the board, the legal moves, and a line for each move."""

import sys
from typing import TextIO

import numpy as np

from agents.generators import derived_seed
from agents.selfplay.matches import CHANCE, SEATS
from agents.selfplay.opponents import NetworkOpponent
from agents.selfplay.players import Boards
from agents.selfplay.seat import move_names, seat_name
from agents.watch.theme import number
from envs.errors import ConfigError
from envs.turns.games import OVER, Array
from envs.turns.lookahead import Searcher
from envs.turns.opponents import Opponent, chosen

SHOWN = 12
"""Legal moves of which each has its line with a bar; of more, those that are likeliest."""
BAR = 20
"""Of a bar, in characters."""


class Game:
    """A person against one opponent on one board, game after game.

    Args:
        boards: of a game for two.
        opponent: who plays the other seat.
        seat: the person's.
        hints: whether the opponent's probabilities in the person's place are shown, where it is a network.
        file: where to write; by default standard output.
        keyboard: what is read, a line a move; by default standard input.

    Raises ConfigError for games that are not for two, and for hints of somebody who has none.
    """

    def __init__(
        self,
        boards: Boards,
        opponent: Opponent,
        *,
        seat: int = 0,
        hints: bool = False,
        file: TextIO | None = None,
        keyboard: TextIO | None = None,
    ) -> None:
        self.games, self.opponent, self.seat, self.hints = boards.open(1), opponent, seat, hints
        self.file, self.keyboard = file or sys.stdout, keyboard or sys.stdin
        self.names = move_names(self.games, seat)
        self._board = np.zeros(1, dtype=np.int64)
        if self.games.n_players != 2:
            raise ConfigError(f"{self.games.name} is a game for {self.games.n_players}: one person plays games for two")
        if isinstance(opponent, Searcher):
            opponent.check(self.games)
        if hints and not isinstance(opponent, NetworkOpponent):
            raise ConfigError(f"--hints: {opponent.name} knows no probabilities; expected a run")

    def play(self, games: int = 1, seed: int = 0) -> None:
        """So many games, or fewer if the input ends. KeyboardInterrupt passes through."""
        self._say(
            f"{self.games.name} against {self.opponent.name}: you play {seat_name(self.games, self.seat)}. "
            "Type a move's name or number; q ends."
        )
        for game in range(games):
            if not self._one(derived_seed(seed, game)):
                self._say("\nno more moves: left the game")
                return

    def _one(self, seed: int) -> bool:
        """One game; whether it was played to its end."""
        streams = [np.random.default_rng(derived_seed(seed, stream)) for stream in (CHANCE, SEATS, SEATS + 1)]
        self.games.reset(self._board, streams[:1])
        while (mover := int(self.games.to_move()[0])) != OVER:
            if mover == self.seat:
                move = self._ask()
                if move is None:
                    return False
                actions = np.array([move])
            else:
                actions = self._answer(streams[SEATS + mover])
            self.games.apply(self._board, actions)
        self._say(f"\n{self.games.text(0, self.seat)}\n{self._outcome()}")
        return True

    def _answer(self, generator: np.random.Generator) -> Array:
        """The opponent's move, told."""
        mover = self.games.to_move()
        value = self._value(mover)
        actions = chosen(self.opponent, self.games, self._board, mover, [generator])
        self._say(f"{self.opponent.name} plays {move_names(self.games, int(mover[0]))[int(actions[0])]}{value}")
        return actions

    def _ask(self) -> int | None:
        """The person's move; None where the input ended."""
        legal = np.flatnonzero(self.games.masks(self._board)[0]).tolist()
        self._say(f"\n{self.games.text(0, self.seat)}")
        for line in self._moves(legal):
            self._say(line)
        while True:
            self.file.write("your move: ")
            self.file.flush()
            line = self.keyboard.readline()
            if not line or line.strip().lower() in ("q", "quit", "exit"):
                return None
            if not self.keyboard.isatty():
                self._say(line.strip())  # which a terminal would show
            move = self._understood(line.strip(), legal)
            if isinstance(move, int):
                return move
            self._say(move)

    def _understood(self, typed: str, legal: list[int]) -> int | str:
        """The move that was typed, or a line that says why it is none. A move's number is the same all game."""
        words = " ".join(typed.lower().split())
        named = [move for move, name in enumerate(self.names) if words in (name.lower(), str(move + 1))]
        if named:
            return named[0] if named[0] in legal else f"{typed!r} is not legal here: type one of the moves above"
        near = [move for move in legal if words and self.names[move].lower().startswith(words)]
        if len(near) == 1:
            return near[0]
        return f"found {typed!r}, expected the name or the number of a move above"

    def _moves(self, legal: list[int]) -> list[str]:
        """The legal moves by number, with hints where they were asked for."""
        labels = [f"{move + 1}: {self.names[move]}" for move in legal]
        if not self.hints:
            return [", ".join(labels)]
        chances = self._probabilities()[legal]
        width = max(map(len, labels))
        best = sorted(np.argsort(-chances, kind="stable")[:SHOWN].tolist())
        lines = [f"{labels[k]:<{width}} {'█' * round(BAR * chances[k]):<{BAR}} {chances[k]:4.0%}" for k in best]
        if len(best) < len(legal):
            lines.append(", ".join(label for k, label in enumerate(labels) if k not in best))
        return lines

    def _probabilities(self) -> Array:
        """Of all moves (n,), the opponent in the person's place."""
        assert isinstance(self.opponent, NetworkOpponent)  # looked at when the game was opened
        mover = self.games.to_move()
        found = self.opponent.probabilities(self.games.observe(self._board, mover), self.games.masks(self._board))
        return np.asarray(found[0])

    def _value(self, mover: Array) -> str:
        """What the opponent thinks of its position, in words; nothing where it says nothing."""
        if not isinstance(self.opponent, NetworkOpponent) or self.games.hidden:
            return ""
        said = self.opponent.outputs(self.games.observe(self._board, mover), self.games.masks(self._board)).value
        return "" if said is None else f" (it expects {number(float(said[0]), signed=True)})"

    def _outcome(self) -> str:
        earned = self.games.returns(self._board)[0]
        mine, theirs = float(earned[self.seat]), float(earned[1 - self.seat])
        words = "you win" if mine > theirs else "you lose" if mine < theirs else "a draw"
        return words if abs(mine) in (0.0, 1.0) else f"{words}: {number(mine, signed=True)}"

    def _say(self, text: str) -> None:
        print(text, file=self.file, flush=True)
