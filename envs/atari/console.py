"""One machine with one game in it: frames skipped, screens seen, games ended."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from ale_py import ALEInterface, ALEState
from gymnasium import spaces

from envs.atari.settings import AtariSettings, chosen_of, path_of

Array = npt.NDArray[Any]
RAM = 128
"""Bytes of memory."""
KEPT = 1 << 15
"""Bytes that a machine's state is kept in; ALE's takes half of them."""


def memory_of(game: str) -> tuple[str, ...]:
    """Names of a game's bytes of memory, which mean nothing in another game."""
    return tuple(f"{game}_ram_{index}" for index in range(RAM))


class Console:
    """An emulated machine.

    Args:
        settings: how the game is played.
        frames: where the last screens are kept, (stack, size, size) uint8; by default of its own.
    """

    def __init__(self, settings: AtariSettings, frames: Array | None = None) -> None:
        self.settings = settings
        self.machine = ALEInterface()
        self.machine.setFloat("repeat_action_probability", settings.repeat_action_probability)
        self._seed(0)
        known = self.machine.getAvailableModes(), self.machine.getAvailableDifficulties()
        chosen_of(known[0], settings.mode, "mode", settings.game)
        chosen_of(known[1], settings.difficulty, "difficulty", settings.game)
        legal = self.machine.getLegalActionSet() if settings.full_action_space else self.machine.getMinimalActionSet()
        self.actions = list(legal)
        self.names = tuple(action.name.lower() for action in legal)
        size = settings.size
        self.frames = np.zeros((settings.stack, size, size), np.uint8) if frames is None else frames
        self._screens = np.zeros((2, *self.machine.getScreenDims()), np.uint8)
        self._bright = np.zeros_like(self._screens[0])
        self.lives = self.steps = 0
        self.earned = 0.0
        self._alive = False
        """Whether the game goes on although an episode has ended."""
        self._began = time.time()

    @property
    def observation_space(self) -> spaces.Box:
        """Of what the settings show."""
        if self.settings.obs_type == "ram":
            return spaces.Box(0.0, 1.0, (RAM,), np.float32)
        return spaces.Box(0, 255, (self.settings.size, self.settings.size, self.settings.stack), np.uint8)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of screens, or of bytes of memory."""
        if self.settings.obs_type == "ram":
            return memory_of(self.settings.game)
        ago = [f"screen_{count}_ago" for count in range(self.settings.stack - 1, 0, -1)]
        return (*ago, "screen")

    def reset(self, generator: np.random.Generator, *, seeded: bool) -> None:
        """Begin an episode: a new game, or the next life of the one that goes on.

        Args:
            generator: draws the machine's seed and the frames without action.
            seeded: whether the generator is new: then the machine's dice begin anew as well.
        """
        if seeded:
            self._seed(int(generator.integers(2**31)))
        if seeded or not self._alive:
            self._new_game(generator)
        else:
            _, _, truncated = self.step(0)
            self._alive = False
            if truncated or self.machine.game_over():
                self._new_game(generator)
        self._see(fresh=True)

    def step(self, action: int) -> tuple[float, bool, bool]:
        """One decision, by its number among the offered ones. Returns what it earned, terminated and truncated."""
        act, machine, last = self.machine.act, self.machine, self.settings.frameskip - 1
        code, pixels = self.actions[action], self.settings.obs_type == "pixels"
        reward, over = 0.0, False
        for frame in range(last + 1):
            reward += act(code)
            over = machine.game_over()
            if pixels and frame >= last - 1:
                machine.getScreenGrayscale(self._screens[frame - last + 1])
            if over:
                break
        if pixels and (over or last == 0):  # a game's last screen, or the only one of a step, is seen alone
            machine.getScreenGrayscale(self._screens[1])
            self._screens[0] = self._screens[1]
        self.steps += 1
        self.earned += reward
        limit = self.settings.max_episode_steps
        truncated = limit is not None and self.steps >= limit and not over
        lives = machine.lives()
        lost, self.lives = lives < self.lives, lives
        self._alive = self.settings.life_loss and lost and not over and not truncated
        self._see(fresh=False)
        return float(np.sign(reward)) if self.settings.clip_rewards else reward, over or self._alive, truncated

    def observe(self) -> Array:
        """What the agent sees."""
        return self.ram() if self.settings.obs_type == "ram" else np.array(self.frames.transpose(1, 2, 0))

    def ram(self) -> Array:
        """The memory, (128,) float32 from 0 to 1."""
        found: Array = self.machine.getRAM().astype(np.float32) / np.float32(255)
        return found

    def record(self) -> dict[str, Any] | None:
        """Monitor's record of the game that the last step ended; None if it goes on."""
        if self._alive:
            return None
        return {"r": round(self.earned, 6), "l": self.steps, "t": round(time.time() - self._began, 6)}

    def picture(self) -> Array:
        """The screen, (210, 160, 3) uint8."""
        found: Array = self.machine.getScreenRGB()
        return found

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, as arrays."""
        content: Any = self.machine.cloneSystemState().__getstate__()  # bytes, not what its stub says
        machine = np.zeros(KEPT, np.uint8)
        machine[: len(content)] = np.frombuffer(content, np.uint8)
        counts = (len(content), self.lives, self.steps, self._alive)
        return {
            "machine": machine,
            "counts": np.array(counts, np.int64),
            "earned": np.array(self.earned),
            "frames": self.frames.copy(),
            "screens": self._screens.copy(),
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned."""
        length, self.lives, self.steps, alive = state["counts"].tolist()
        kept: Any = ALEState.__new__(ALEState)
        kept.__setstate__(state["machine"][:length].tobytes())
        self.machine.restoreSystemState(kept)
        self._alive, self.earned = bool(alive), float(state["earned"])
        self.frames[:], self._screens[:] = state["frames"], state["screens"]

    def _seed(self, seed: int) -> None:
        """Switch the machine on; its dice are read then."""
        self.machine.setInt("random_seed", seed)
        self.machine.loadROM(path_of(self.settings.game))
        if self.settings.mode is not None and self.settings.mode in self.machine.getAvailableModes():
            self.machine.setMode(self.settings.mode)
        if self.settings.difficulty is not None and self.settings.difficulty in self.machine.getAvailableDifficulties():
            self.machine.setDifficulty(self.settings.difficulty)

    def _new_game(self, generator: np.random.Generator) -> None:
        self.machine.reset_game()
        if self.settings.noop_max:
            for _ in range(int(generator.integers(1, self.settings.noop_max, endpoint=True))):
                self.machine.act(self.machine.getLegalActionSet()[0])
                if self.machine.game_over():
                    self.machine.reset_game()
        self.lives, self.steps, self.earned, self._alive = self.machine.lives(), 0, 0.0, False
        if self.settings.obs_type == "pixels":
            self._screens[:] = 0
            self.machine.getScreenGrayscale(self._screens[1])

    def _see(self, *, fresh: bool) -> None:
        """Put the brighter of the last two screens into the stack; fill it with that one if it is fresh."""
        if self.settings.obs_type == "ram":
            return
        import cv2

        latest = self.frames[-1]
        if not fresh:
            self.frames[:-1] = self.frames[1:]
        np.maximum(self._screens[0], self._screens[1], out=self._bright)
        cv2.resize(self._bright, latest.shape, dst=latest, interpolation=cv2.INTER_AREA)
        if fresh:
            self.frames[:-1] = latest
