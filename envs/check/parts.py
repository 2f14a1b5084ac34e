"""The single checks. Each adds to a report its faults, its notes, or that all is well."""

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from envs.check import play as playing
from envs.check.batches import legal_actions
from envs.check.names import metadata_of
from envs.check.peers import judges, verdict
from envs.check.players import ALONE, Player, Players, player_of
from envs.check.report import Broken, Fault, Report, raised
from envs.check.spaces import of_actions, of_observations
from envs.errors import HeadstartError
from envs.parallel import ParallelVecEnv

Make = Callable[..., Any]

STEPS = 300
"""Steps of each play; fewer where they take too long."""


def made(report: Report, make: Make) -> Player | None:
    """The game, made and ready to be played; None if it cannot be."""
    with report.part("it can be made"):
        try:
            env = make()
        except HeadstartError as error:
            raise Broken(
                Fault(str(error), "a game that can be made without arguments", "follow the message")
            ) from error
        except (Exception, SystemExit) as error:
            raise Broken(raised(error, "while it was made")) from error
        return player_of(env)
    return None


def check_spaces(report: Report, player: Player) -> bool:
    """Whether learners can read what it shows and write what it takes."""
    before = len(report.faults)
    with report.part("its spaces can be learnt from") as found:
        for agent in player.agents:
            observation, action = player.spaces(agent)
            of = "" if agent == ALONE else f" of {agent}"
            found += of_observations(observation, f"observation_space{of}")
            found += of_actions(action, f"action_space{of}")
    return len(report.faults) == before


def check_reset(report: Report, player: Player) -> None:
    """The arguments of reset()."""
    with report.part("reset() takes a seed and options") as found:
        found += [
            Fault(
                f"reset() does not take {name!r}",
                "reset(self, *, seed=None, options=None)",
                f"add {name}=None to its arguments"
                + (", and begin it with super().reset(seed=seed)" if name == "seed" else ""),
            )
            for name in player.lacking
        ]
        player.reset(seed=0, options={})


def check_values(report: Report, player: Player, first: playing.Play, features: tuple[str, ...] | None) -> None:
    """What reset and step returned."""
    with report.part("it can be played") as found:
        if first.fault is not None:
            found.append(first.fault)
        elif first.hurried:
            report.note(f"it is slow: checked on {first.steps} steps")
    with report.part("observations lie in observation_space") as found:
        found += playing.misfits(first, player, features)
    several = isinstance(player, Players)  # our own adapter takes numpy's numbers too
    with report.part("rewards are finite numbers") as found:
        found += playing.bad_rewards(first, (float, int, np.number) if several else (float, int))
    with report.part("terminated and truncated are bool") as found:
        found += playing.bad_flags(first, (bool, np.bool_) if several else (bool,))
    with report.part("observations are not changed after they are returned") as found:
        found += playing.changed_later(first)


def check_seeds(report: Report, player: Player, make: Make, first: playing.Play) -> None:
    """The same seed and actions give the same again: in a new object, and in the same one whatever it played before."""
    if player.lacking:
        return
    with report.part("the same seed gives the same game") as found:
        fresh = playing.play(player_of(make()), seed=1, steps=first.steps)
        anew, again = playing.first_difference(first, fresh), _after_others(player, first)
        if anew is not None:
            found.append(_unseeded(f"two new games with the same seed and actions differ {anew}", first))
        elif again is not None:
            found.append(
                Fault(
                    f"the same game, reset with the same seed after being played, differs {again}",
                    "reset(seed=…) to begin the same episode whatever was played before",
                    "set every attribute that step() changes anew in reset()",
                )
            )
        elif first.touched_global:
            found.append(_unseeded("the game draws from, or seeds, a global generator (np.random or random)", first))
    other = playing.play(player, seed=2, steps=first.steps)
    if playing.first_difference(first, other) is None:
        report.note("seeds 1 and 2 give the same game: nothing in it is random")


def _after_others(player: Player, first: playing.Play) -> str | None:
    """The first difference from a play of the same seed that comes after others: several, for some leave no trace."""
    for history in range(3):
        playing.play(player, seed=2 + history, steps=7 + history, actions=1 + history)
        again = playing.play(player, seed=1, steps=first.steps if history == 0 else min(50, first.steps))
        if (found := playing.first_difference(first, again)) is not None:
            return found
    return None


def _unseeded(what: str, first: playing.Play) -> Fault:
    instead = " instead of np.random or random" if first.touched_global else ""
    return Fault(
        what,
        "a game that its seed decides, and that leaves other games' random numbers alone",
        f"call super().reset(seed=seed) first in reset(), and draw from self.np_random{instead}",
    )


def check_end(report: Report, player: Player, first: playing.Play) -> None:
    """Episodes end, or are ended."""
    with report.part("episodes can go on until they end"):
        if first.episodes == 0 and not _limited(player.env) and not playing.ends(player):
            several = "give the game a limit of its own, such as PettingZoo's max_cycles, unless it has one"
            alone = "give max_episode_steps where the game is registered, or --change time_limit=500"
            report.note(
                "no episode ended under random actions, and no time limit is known: "
                + (several if isinstance(player, Players) else alone)
            )


def _limited(env: Any) -> bool:
    """Whether one of the wrappers is a time limit."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return False


def check_agents(report: Report, player: Player, make: Make) -> None:
    """Several agents: they can share a policy, and keep PettingZoo's contract."""
    if not isinstance(player, Players):
        return
    with report.part("its agents can share a policy"):
        try:
            venv = ParallelVecEnv(make)
            venv.seed(1)
            seen = venv.reset()
            until = time.perf_counter() + playing.PATIENCE
            for _ in range(STEPS):
                seen, *_ = venv.step(legal_actions(venv, seen))
                if time.perf_counter() > until:
                    break
        except HeadstartError as error:
            raise Broken(
                Fault(
                    str(error),
                    "agents whose spaces are alike up to their sizes, who are there from the reset until they end",
                    "follow the message; docs/several-agents.md has the rules",
                )
            ) from error


def check_picture(report: Report, player: Player, make: Make) -> None:
    """The render mode "rgb_array" gives pictures, if the game says that it has it."""
    if "rgb_array" not in (metadata_of(player).get("render_modes") or ()):
        report.note("it has no render mode 'rgb_array': watching it shows its named features instead")
        return
    with report.part("it can be seen") as found:
        try:
            env = make(render_mode="rgb_array")
            env.reset(seed=1)
            picture = env.render()
            env.close()
        except (Exception, SystemExit) as error:
            raise Broken(raised(error, "when made with render_mode='rgb_array', reset and rendered")) from error
        kind, shape = str(getattr(picture, "dtype", type(picture).__name__)), tuple(np.shape(picture))
        if kind != "uint8" or len(shape) != 3 or shape[-1] != 3:
            found.append(
                Fault(
                    f"render() with render_mode='rgb_array' returned {kind}, shape {shape}",
                    "a uint8 array of shape (height, width, 3)",
                    "return the picture as np.uint8 with red, green and blue last, "
                    "or take 'rgb_array' out of metadata['render_modes']",
                )
            )


def ask_peers(report: Report, player: Player, make: Make) -> None:
    """What they find is a fault only where nothing was found so far: mostly it is the same, in other words."""
    known = bool(report.faults)
    for title, judge in judges(player):
        fault, notes = verdict(title, judge, make)
        if fault is not None and known:
            report.note(f"{fault.what} (ask again when the faults are mended)")
        elif fault is not None:
            report.faults.append(fault)
        else:
            report.passed.append(f"{title} passes")
        for text in notes:
            report.note(text)


def check_close(report: Report, player: Player) -> None:
    """close() works, and again."""
    with report.part("it can be closed, twice"):
        try:
            player.env.close()
            player.env.close()
        except (Exception, SystemExit) as error:
            raise Broken(raised(error, "at close(), called twice")) from error


def speed(make: Make, seconds: float = 0.25) -> float:
    """Steps a second of one environment, all its agents together counted as one step."""
    player = player_of(make())
    choose = playing.Chooser(player, 0)
    outcomes = player.reset(seed=0)
    steps, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        actions = {agent: choose(agent, outcomes.get(agent)) for agent in player.living()}
        outcomes = player.step(actions, "while its speed was measured")
        steps += 1
        if playing.over(player, outcomes):
            outcomes = player.reset()
    player.env.close()
    return steps / elapsed
