"""A policy playing a task, as a stream of frames: what was seen, what the policy said of it, what was done.

The state, the action probabilities computed from it and its picture stand in the same frame. The reward of a frame is
the one that came on the way to it, and the last frame of an episode shows the state in which it ended.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents.config import Mode
from agents.masking import insist_on_a_move, masked
from agents.outputs import Kind, Outputs
from agents.policy import Policy
from agents.selfplay.seat import OneSeat
from agents.stage import Observation, Stage, open_stage
from envs.errors import ConfigError, MappingError
from envs.interface import Interface, in_words
from envs.masks import MASK, is_masked
from envs.task import Task


@dataclass(frozen=True)
class Decision:
    """What a policy said of one observation, and which action was taken. One per agent."""

    names: tuple[str, ...]
    """Of the n actions, or of the n dimensions of a continuous action."""
    kind: Kind
    """What `numbers` are: of `categorical` probabilities, of `q` action values, else means in the units of actions."""
    numbers: np.ndarray | None
    """(n,); None where the episode is over, or the policy's heads cannot be read."""
    spread: np.ndarray | None = None
    """(n,) standard deviations of a `gaussian` policy that is not squashed."""
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    """Lowest and highest (n,) of a continuous action."""
    action: int | np.ndarray | None = None
    """The number of the action, or the continuous action (n,); None where the episode is over."""
    value: float | None = None
    """The critic's value of the state; of action values their maximum; None where there is none."""
    legal: np.ndarray | None = None
    """(n,) bool, which actions are legal; None where all always are. Illegal ones have probability 0."""

    @property
    def action_name(self) -> str | None:
        """The name of the action taken; of a continuous one its entries."""
        if self.action is None:
            return None
        if isinstance(self.action, int):
            return self.names[self.action]
        return ", ".join(f"{name} {entry:.2f}" for name, entry in zip(self.names, self.action, strict=True))


@dataclass(frozen=True)
class Frame:
    """One state of an episode."""

    episode: int
    """Counted from 0."""
    step: int
    """Steps taken in the episode before this state."""
    observation: Observation
    """What the (first) agent saw."""
    decisions: tuple[Decision, ...]
    """One per agent; games of one agent have one."""
    reward: float | None
    """Raw reward on the way here, the mean over agents; None in the first state."""
    total: float
    """Return of the episode so far: the sum of the rewards."""
    terminated: bool = False
    """The game ended here."""
    truncated: bool = False
    """The game was cut off here, by its time limit."""
    image: np.ndarray | None = field(default=None, repr=False)
    """The game's picture of this state, (H, W, 3) uint8, if it has one."""
    text: str | None = field(default=None, repr=False)
    """The game's picture in characters, if the player was asked for that and the game has one."""
    said: str | None = None
    """What is to be known besides: in a game against somebody where one sits, and what the others played."""

    @property
    def over(self) -> bool:
        """Whether the episode ended here."""
        return self.terminated or self.truncated

    @property
    def action(self) -> int | np.ndarray | None:
        """Of the first agent."""
        return self.decisions[0].action

    @property
    def action_name(self) -> str | None:
        """Of the first agent."""
        return self.decisions[0].action_name

    @property
    def probabilities(self) -> dict[str, float] | None:
        """The first agent's probabilities by action name; None unless the policy has some."""
        decision = self.decisions[0]
        if decision.kind != "categorical" or decision.numbers is None:
            return None
        return dict(zip(decision.names, decision.numbers.tolist(), strict=True))

    @property
    def value(self) -> float | None:
        """Of the first agent's observation."""
        return self.decisions[0].value


class AtRandom:
    """Plays every action with the same probability: a game before there is a policy for it."""

    def __init__(self, interface: Interface, game: str | None = None) -> None:
        self.interface, self.game = interface, game

    def act(self, observations: Observation, *, mode: Mode, generator: torch.Generator | None = None) -> np.ndarray:
        """An action for each of B observations, drawn from the generator in either mode: (B, ...)."""
        space: Any = deepcopy(self.interface.action_space)
        space.seed(int(torch.randint(2**31, (), generator=generator)))
        masks: Any = legal_of(self.interface, observations)
        if masks is None:
            return np.stack([np.asarray(space.sample()) for _ in range(rows_of(observations))])
        insist_on_a_move(masks, self.game)
        return np.stack([np.asarray(space.sample(mask=mask.astype(np.int8))) for mask in masks])

    def outputs(self, observations: Any) -> Outputs:
        """Equal probabilities. Raises ConfigError for actions that are not Discrete."""
        space = self.interface.action_space
        if not isinstance(space, spaces.Discrete):
            raise ConfigError(f"random play of {type(space).__name__} actions has no heads")
        logits = torch.zeros(rows_of(observations), int(space.n))
        masks = legal_of(self.interface, observations)
        return Outputs("categorical", masked(logits, None if masks is None else torch.as_tensor(masks)))


class Player:
    """A policy on a task. Episode e is a function of (policy, task, seed + e, mode): not of what was played before.

    Without a policy it plays at random. With `text` the frames hold text, instead of pictures, where the game has some.
    `root` is where runs live that are played against; by default $HEADSTART_RUNS, else ./runs.

    Raises MappingError if the policy's spaces are not the task's.
    """

    def __init__(
        self,
        policy: Policy | None,
        task: Task,
        *,
        seed: int = 0,
        mode: Mode = "sampled",
        text: bool = False,
        root: Path | None = None,
    ) -> None:
        self.task, self.seed, self.mode = task, seed, mode
        self.stage: Stage = open_stage(task, seed, text=text, root=root)
        self.interface: Interface = self.stage.interface
        self.policy: Policy | AtRandom = policy or AtRandom(self.interface, task.game)
        if policy is not None:
            _must_agree(policy, self.interface, task)
        self._names = action_names(self.interface)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Of the actions, as the game is drawn."""
        spoken = self.stage.spoken() if isinstance(self.stage, OneSeat) else None
        return spoken or self._names

    def episode(self, number: int) -> Iterator[Frame]:
        """The frames of one episode, the one in which it ended included."""
        generator = torch.Generator().manual_seed(self.seed + number)
        observations, total = self.stage.reset(self.seed + number), 0.0
        reward, terminated, truncated = None, False, False
        for step in count():
            over = terminated or truncated
            actions, decisions = self._over() if over else self._decide(observations, generator)
            yield Frame(
                number,
                step,
                row(observations, 0),
                decisions,
                reward,
                total,
                terminated,
                truncated,
                self.stage.picture(),
                self.stage.text(),
                self.stage.said(),
            )
            if over:
                return
            observations, reward, terminated, truncated = self.stage.step(actions)
            total += reward

    def close(self) -> None:
        """Close the game."""
        self.stage.close()

    def _decide(self, observations: Observation, generator: torch.Generator) -> tuple[np.ndarray, tuple[Decision, ...]]:
        """Actions (n_agents, ...) and what the policy said."""
        actions = np.asarray(self.policy.act(observations, mode=self.mode, generator=generator))
        try:
            outputs = self.policy.outputs(tensors(observations))
        except ConfigError:  # no heads that can be read: the game can still be watched
            return actions, tuple(self._silent(action) for action in actions)
        decisions = (self._decision(outputs, agent, action) for agent, action in enumerate(actions))
        masks = legal_of(self.interface, observations)
        if masks is None:
            return actions, tuple(decisions)
        return actions, tuple(replace(decision, legal=mask) for decision, mask in zip(decisions, masks, strict=True))

    def _decision(self, outputs: Outputs, agent: int, action: np.ndarray) -> Decision:
        value = None if outputs.value is None else float(outputs.value[agent])
        taken = int(action) if isinstance(self.interface.action_space, spaces.Discrete) else action
        if outputs.kind in ("categorical", "q"):
            head = outputs.log_probabilities().exp() if outputs.kind == "categorical" else outputs.head
            return Decision(self.action_names, outputs.kind, to_numpy(head[agent]), action=taken, value=value)
        numbers, spread = to_numpy(outputs.head[agent]), None
        if isinstance(self.policy, Policy) and self.policy.network.squash_output:
            squashed = np.tanh(numbers) if outputs.kind == "gaussian" else numbers
            numbers = self.policy.network.unscale_action(squashed)
        elif outputs.log_std is not None:
            spread = to_numpy(outputs.log_std[agent].exp())
        return Decision(self.action_names, outputs.kind, numbers, spread, self._bounds(), taken, value)

    def _silent(self, action: np.ndarray) -> Decision:
        if isinstance(self.interface.action_space, spaces.Discrete):
            return Decision(self.action_names, "categorical", None, action=int(action))
        return Decision(self.action_names, "deterministic", None, bounds=self._bounds(), action=np.ravel(action))

    def _over(self) -> tuple[np.ndarray, tuple[Decision, ...]]:
        nothing = Decision(self.action_names, "categorical", None, bounds=self._bounds())
        return np.empty(0), (nothing,) * self.stage.agents

    def _bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        space = self.interface.action_space
        return (space.low.ravel(), space.high.ravel()) if isinstance(space, spaces.Box) else None


def rollout(
    policy: Policy,
    task: Task,
    *,
    seed: int = 0,
    mode: Mode = "sampled",
    episodes: int | None = 1,
    max_steps: int | None = None,
) -> Iterator[Frame]:
    """Frames of `episodes` episodes (None: for ever), each cut after `max_steps` steps.

    Episode e starts from seed + e; no global random generator is used or changed.
    """
    player = Player(policy, task, seed=seed, mode=mode)
    try:
        for number in count() if episodes is None else range(episodes):
            yield from islice(player.episode(number), None if max_steps is None else max_steps + 1)
    finally:
        player.close()


def action_names(interface: Interface) -> tuple[str, ...]:
    """The catalogue's names, or numbers where it has none."""
    if interface.actions is not None:
        return interface.actions
    space = interface.action_space
    if isinstance(space, spaces.Discrete):
        return tuple(f"action {number}" for number in range(int(space.n)))
    return tuple(f"action[{number}]" for number in range(spaces.flatdim(space)))


def row(observations: Observation, agent: int) -> Observation:
    """One agent's observation."""
    if isinstance(observations, dict):
        return {key: part[agent] for key, part in observations.items()}
    one: np.ndarray = observations[agent]
    return one


def legal_of(interface: Interface, observations: Observation) -> np.ndarray | None:
    """Which actions are legal (n_agents, n), bool; None where observations do not say."""
    if not isinstance(observations, dict) or not is_masked(interface.observation_space):
        return None
    legal: np.ndarray = np.asarray(observations[MASK]) != 0
    return legal


def rows_of(observations: Any) -> int:
    """How many agents' observations these are."""
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def tensors(observations: Observation) -> Any:
    """Observations as a policy's network takes them."""
    if isinstance(observations, dict):
        return {key: torch.as_tensor(part) for key, part in observations.items()}
    return torch.as_tensor(observations)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A detached copy on the CPU."""
    return tensor.detach().cpu().numpy().copy()


def _must_agree(policy: Policy, interface: Interface, task: Task) -> None:
    pairs: Sequence[tuple[str, spaces.Space[Any], spaces.Space[Any]]] = (
        ("observations", policy.interface.observation_space, interface.observation_space),
        ("actions", policy.interface.action_space, interface.action_space),
    )
    for what, learnt, found in pairs:
        if in_words(learnt) != in_words(found):
            raise MappingError(
                f"{task} has {what} {in_words(found)}, but the policy was trained with {in_words(learnt)}; "
                "watch it in a game with the same spaces, or carry it over with headstart transfer"
            )
