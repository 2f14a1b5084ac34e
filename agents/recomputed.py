"""Rewards with a part that is computed when a minibatch is drawn: the replay buffer keeps what the game paid.

A learner off policy learns from a transition long after it was taken. What is added to its reward then is that of now,
also where it changes in the course of training, and a buffer that is read by others holds raw rewards.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from envs.observations import each

Added = Callable[[np.ndarray], np.ndarray]
"""Rows of a replay buffer (B,) → what is added to their rewards (B,). Step t of environment e is row t · n_envs + e."""


def add_when_drawn(buffer: Any, added: Added) -> None:
    """Let every minibatch that a Stable-Baselines3 replay buffer yields hold r + added, before rewards are normalised.

    Draws are what they were. Of n-step returns each reward gets its own part. It is a function on one object: a buffer
    that was pickled and read again has none.
    """
    get_samples, normalise = buffer._get_samples, buffer._normalize_reward
    drawn: list[np.ndarray] = []  # steps and environments of the minibatch at hand, which SB3 then draws again

    def noting(batch_inds: np.ndarray, *arguments: Any, **named: Any) -> Any:
        state = np.random.get_state()  # noqa: NPY002
        drawn[:] = [batch_inds, np.random.randint(0, high=buffer.n_envs, size=len(batch_inds))]  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002
        return get_samples(batch_inds, *arguments, **named)

    def adding(rewards: np.ndarray, *arguments: Any, **named: Any) -> Any:
        steps, envs = drawn
        following = (steps[:, None] + np.arange(rewards.shape[1])) % buffer.buffer_size  # (B, n) of n-step returns
        rows = (following * buffer.n_envs + envs[:, None]).reshape(-1)
        own = added(rows).reshape(rewards.shape)
        return normalise((rewards + own).astype(rewards.dtype), *arguments, **named)

    buffer._get_samples, buffer._normalize_reward = noting, adding
    buffer.added_when_drawn = added


def added_to(buffer: Any) -> Added | None:
    """What `add_when_drawn` adds to a buffer's rewards, if anything: for those that read its arrays themselves."""
    added: Added | None = getattr(buffer, "added_when_drawn", None)
    return added


class Remembered:
    """What a function that does not change says of the observations in a replay buffer, asked once of each transition.

    Args:
        buffer: Stable-Baselines3's.
        function: B observations as the buffer holds them → (B, …).
        clock: transitions taken so far, of all environments together; if at least as many as the buffer holds were
            taken since the last look, all of it is new.
    """

    def __init__(self, buffer: Any, function: Callable[[Any], np.ndarray], clock: Callable[[], int]) -> None:
        self.buffer, self.function, self.clock = buffer, function, clock
        self._known = np.zeros(buffer.buffer_size * buffer.n_envs, dtype=bool)
        self._values: np.ndarray | None = None
        self._pos, self._now = buffer.pos, clock()

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of what was seen in these rows (B,), and of what was seen next: two arrays (B, …)."""
        self._forget()
        missing = np.unique(rows[~self._known[rows]])
        if len(missing) or self._values is None:
            self._ask(missing)
        if self._values is None:
            raise ValueError("no rows were asked for")
        return self._values[0, rows], self._values[1, rows]

    def state(self) -> dict[str, Any]:
        """What is known, for a checkpoint: asked again, the function might differ in the last bit, in other batches."""
        return {"known": self._known, "values": self._values, "pos": self._pos, "now": self._now}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._known, self._values, self._pos, self._now = (state[key] for key in ("known", "values", "pos", "now"))

    def _ask(self, rows: np.ndarray) -> None:
        both = [_join(*pair) for pair in _parts(self._held(rows))]
        names = list(self.buffer.observations) if isinstance(self.buffer.observations, dict) else None
        found = np.asarray(self.function(both[0] if names is None else dict(zip(names, both, strict=True))))
        if self._values is None:
            self._values = np.zeros((2, len(self._known), *found.shape[1:]))
        self._values[0, rows], self._values[1, rows] = found[: len(rows)], found[len(rows) :]
        self._known[rows] = True

    def _held(self, rows: np.ndarray) -> tuple[Any, Any]:
        """What was seen in these rows, and what was seen next."""
        buffer = self.buffer
        following, after = buffer.observations, (rows + buffer.n_envs) % len(self._known)
        if not buffer.optimize_memory_usage:
            following, after = buffer.next_observations, rows
        return each(lambda held: _rows(held, rows), buffer.observations), each(
            lambda held: _rows(held, after), following
        )

    def _forget(self) -> None:
        """The rows that were written since the last look."""
        buffer, now = self.buffer, self.clock()
        n, start, end = buffer.n_envs, self._pos, buffer.pos
        if now - self._now >= len(self._known):
            self._known[:] = False
        elif start <= end:
            self._known[start * n : end * n] = False
        else:
            self._known[start * n :] = False
            self._known[: end * n] = False
        self._pos, self._now = end, now


def terminated(buffer: Any, rows: np.ndarray) -> np.ndarray:
    """1 where a transition ended its episode and no time limit did: (B,) float32."""
    dones, timeouts = (held.reshape(-1)[rows] for held in (buffer.dones, buffer.timeouts))
    return np.asarray(dones * (1 - timeouts))


def written(buffer: Any, rows: np.ndarray) -> np.ndarray:
    """Whether these rows hold transitions yet: (B,) bool."""
    return np.asarray(rows < (len(buffer.rewards) if buffer.full else buffer.pos) * buffer.n_envs)


def as_given(observations: Any, space: Any) -> Any:
    """Observations as a game gives them, from what a buffer or a network makes of them: shapes, channels last.

    Args:
        observations: (B, …), an array or one for each part.
        space: the game's.
    """
    if isinstance(observations, dict):
        return {name: as_given(part, space[name]) for name, part in observations.items()}
    shape = space.shape or ()
    if len(shape) == 3 and observations.shape[1:] != shape:  # Stable-Baselines3 moved an image's channels first
        observations = np.moveaxis(observations, 1, -1)
    return np.asarray(observations.reshape(-1, *shape))


def _rows(held: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(held.reshape(-1, *held.shape[2:])[rows])


def _parts(pair: tuple[Any, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    first, second = pair
    return [(first[name], second[name]) for name in first] if isinstance(first, dict) else [(first, second)]


def _join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, second])
