"""`make_vec`: a task as environments that Stable-Baselines3 plays, batched where the game allows it.

Batched games run as one object. All others run as one object per environment, in this process or, if asked for, in one
process each. Either way the infos carry SB3's `terminal_observation`, `TimeLimit.truncated` and Monitor's `episode`,
and a game that raises or returns NaN is named in a GameError.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import gymnasium as gym
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs.batched import BatchedVecEnv
from envs.catalogue import Game, find_game, import_quietly, named
from envs.customise import change_batch, change_env, subset_names
from envs.engines import ENGINE, settled
from envs.errors import ConfigError, GameError, HeadstartError
from envs.guard import Guard
from envs.interface import Interface, cells_from_json
from envs.learnable import as_bytes, check_spaces, count_from_zero
from envs.masks import inner
from envs.processes import ProcessesVecEnv
from envs.randomise import RandomisedEnv, randomised_batch, why_not_grouped
from envs.registration import register_games
from envs.registry import load_attribute, missing_module
from envs.task import Change, Task

Backend = Literal["auto", "batched", "dummy", "subproc"]
Render = bool | Literal["ansi"]

log = logging.getLogger(__name__)
_told: set[str] = set()


def make_vec(
    task: Task | str,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    render: Render = False,
    backend: Backend = "auto",
) -> VecEnv:
    """Environments of a task, for Stable-Baselines3.

    Args:
        task: the task, or a game's name.
        n_envs: how many environments; of a multi-agent game, how many copies, each with all its agents.
        seed: environment i is seeded with seed + i at the first reset; None takes the machine's entropy.
        render: whether `render()` and `get_images()` give frames; `ansi`: whether each object's `render()` gives text.
        backend: `auto` batches where the game allows it and is `dummy`, one object each, where not.

    Raises UnknownName, MissingExtra, ConfigError (arguments, changes or spaces that do not work), GameError.
    """
    task = settled(Task(game=task) if isinstance(task, str) else task)
    if n_envs < 1:
        raise ConfigError(f"{n_envs} environments of {task.game!r}: expected 1 or more")
    game = _found(task)
    if game.turns:
        venv = _boards(task, game, n_envs, render)
    elif game.multiagent:
        venv = _agents(task, game, n_envs, render)
    else:
        hindrance = None if backend in ("auto", "batched") else "not asked for"
        hindrance = hindrance or _why_not_batched(task, game) or why_not_grouped(task.change.randomise, n_envs)
        if hindrance and backend == "batched":
            raise ConfigError(f"game {task.game!r} cannot be batched: {hindrance}; run it with backend 'dummy'")
        if hindrance and backend == "auto" and (engine := task.arguments.get(ENGINE)) in game.engines:
            raise ConfigError(f"game {task.game!r}: engine {engine!r} plays batches, and {hindrance}; leave engine out")
        venv = _objects(task, n_envs, render, backend) if hindrance else _batch(task, game, n_envs, render)
    if seed is not None:
        venv.seed(seed)
        venv.action_space.seed(seed)
    return venv


def make_env(task: Task | str, *, render: Render = False) -> gym.Env[Any, Any]:
    """One environment of a single-agent task, as each of `make_vec`'s objects: adapted, changed and guarded.

    Raises as `make_vec` does.
    """
    task = Task(game=task) if isinstance(task, str) else task
    game = _found(task)
    draws, made = task.change.randomise, _maker(game, task, render)
    env = RandomisedEnv(made, draws, task.game) if draws else made({})
    env = change_env(count_from_zero(env), task.change, task.game, named(game, env.metadata).actions)
    env = as_bytes(env)
    check_spaces(env.observation_space, env.action_space, task.game)
    return Guard(env, task.game)


def seed_each(venv: VecEnv, seeds: Sequence[int]) -> None:
    """Seed environment i with seeds[i] at the next reset. Raises ConfigError unless there is one for each."""
    base = venv.unwrapped
    if len(seeds) != base.num_envs:
        raise ConfigError(f"{len(seeds)} seeds for {base.num_envs} environments: expected one each")
    base._seeds = [int(seed) for seed in seeds]


def interface(venv: VecEnv) -> Interface:
    """The spaces as SB3 sees them, with the names of features and actions where they fit these spaces."""
    metadata: Mapping[str, Any] = venv.unwrapped.metadata or {}
    said = metadata.get("headstart", {})
    observation, action = venv.observation_space, venv.action_space
    return Interface(
        observation,
        action,
        _fitting(said.get("features"), _last_axis(inner(observation))),
        _fitting(
            said.get("actions"), action.n if isinstance(action, spaces.Discrete) else (action.shape or (None,))[-1]
        ),
        {name: tuple(values) for name, values in (said.get("values") or {}).items()},
        tuple(said.get("anchor") or ("centre", "centre")),
        cells_from_json(_fitting(said.get("cells"), action.n if isinstance(action, spaces.Discrete) else None)),
    )


def _last_axis(space: spaces.Space[Any]) -> int | None:
    """How many features or planes there are to name: of a Dict, those of its only part that has more than a number."""
    if isinstance(space, spaces.Dict):
        shapes = [part.shape for part in space.values() if part.shape]
        return shapes[0][-1] if len(shapes) == 1 else None
    return space.shape[-1] if space.shape else None


def _found(task: Task) -> Game:
    """The game, registered with Gymnasium, its package imported."""
    register_games()
    game = find_game(task.game)
    if game.requires is not None:
        with _creating(task):
            import_quietly(game.requires, game.id)
    return game


def _fitting(names: Sequence[str] | None, count: Any) -> tuple[str, ...] | None:
    return None if names is None or len(names) != count else tuple(names)


def _why_not_batched(task: Task, game: Game) -> str | None:
    """What keeps a task from running as one object; None if nothing does."""
    entry = _vector_entry(task, game)
    if entry is None:
        return "it has no batched implementation"
    if not game.batched:
        creator = load_env_creator(entry) if isinstance(entry, str) else entry
        mode = getattr(creator, "metadata", {}).get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            _tell_once(
                f"game {task.game!r} runs one object per environment: its batched implementation does not reset an "
                f"environment in the step that ends the episode (its mode is {getattr(mode, 'name', mode)})"
            )
            return f"its mode of autoreset is {getattr(mode, 'name', mode)}, expected SAME_STEP"
    changed = task.change.model_dump(exclude_defaults=True).keys() - {"time_limit"}
    if changed & {"observation"} or (changed and not game.batched):
        return f"the change {sorted(changed)[0]!r} works on single environments"
    return None


def _vector_entry(task: Task, game: Game) -> Any:
    """What makes a batch of a game: the catalogue's word, else Gymnasium's; None if nobody knows one."""
    if game.vector_entry or game.entry or game.adapt:
        return game.vector_entry
    return gym.registry[_identifier(task.game)].vector_entry_point


def _batch(task: Task, game: Game, n_envs: int, render: Render) -> VecEnv:
    arguments = _arguments(game, task, render)

    def made(count: int, drawn: dict[str, Any]) -> Any:
        with _creating(task):
            if game.vector_entry is None:
                mode = "vector_entry_point"
                return gym.make_vec(task.game, count, vectorization_mode=mode, **{**arguments, **drawn})
            return load_attribute(game.vector_entry, kind="game")(count, **{**arguments, **drawn})

    draws, single = task.change.randomise, _maker(game, task, render)
    envs = randomised_batch(made, single, draws, n_envs, task.game) if draws else made(n_envs, {})
    game = named(game, envs.metadata)
    venv = BatchedVecEnv(change_batch(envs, task.change, task.game, game.actions), task.game)
    check_spaces(venv.observation_space, venv.action_space, task.game)
    return _with_names(venv, game, task.change)


def _maker(game: Game, task: Task, render: Render) -> Callable[[dict[str, Any]], gym.Env[Any, Any]]:
    """What makes the game's own environment, with more arguments than the task's."""

    def made(drawn: dict[str, Any]) -> gym.Env[Any, Any]:
        with _creating(task):
            env: gym.Env[Any, Any] = create(game, {**_arguments(game, task, render), **drawn})
        return env

    return made


def _objects(task: Task, n_envs: int, render: Render, backend: Backend) -> VecEnv:
    factories: list[Callable[[], gym.Env[Any, Any]]] = [partial(_monitored, task, render)] * n_envs
    first = make_env(task, render=render)  # raises here what is wrong with the task, not in another process
    game = named(find_game(task.game), first.metadata)
    venv: VecEnv
    if backend == "subproc":
        first.close()
        venv = ProcessesVecEnv(factories, task.game)
    else:
        venv = DummyVecEnv([lambda: _recorded(first), *factories[1:]])
    return _with_names(venv, game, task.change)


def _monitored(task: Task, render: Render) -> gym.Env[Any, Any]:
    return _recorded(make_env(task, render=render))


def _recorded(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """With SB3's Monitor, unless the game records its episodes itself: where a learner sees a part of one, or clipped
    rewards, and Monitor would count those."""
    return env if getattr(env.unwrapped, "keeps_records", False) else Monitor(env)


def _boards(task: Task, game: Game, n_envs: int, render: Render) -> VecEnv:
    """Boards on which players take turns, one learner at each."""
    from envs.turns.making import make_boards

    venv = make_boards(task, game, n_envs, _render_mode(render), _creating)
    return _with_names(venv, replace(game, **venv.named), task.change)


def _agents(task: Task, game: Game, n_envs: int, render: Render) -> VecEnv:
    asked = sorted(task.change.model_dump(exclude_defaults=True).keys() - {"time_limit"})
    if asked:
        raise ConfigError(
            f"game {task.game!r} has several agents: the change {asked[0]!r} is for single-agent games, leave it out; "
            "'time_limit' and the game's arguments can be changed"
        )
    from envs.parallel import ParallelVecEnv

    entry = load_attribute(game.entry or "", kind="game")
    arguments = _arguments(game, task, render)
    arguments.pop("max_episode_steps", None)
    indicator = False if "agent_indicator" in _parameters(entry) else arguments.pop("agent_indicator", False)
    if not isinstance(indicator, bool):
        raise ConfigError(f"game {task.game!r}: agent_indicator is {indicator!r}, expected true or false")

    def factory() -> Any:
        with _creating(task):
            return entry(**arguments)

    with _creating(task):
        venv = ParallelVecEnv(
            factory, n_envs, name=task.game, agent_indicator=indicator, time_limit=task.change.time_limit
        )
    game = named(game, venv.metadata or {})
    if indicator and game.features is not None:
        game = replace(game, features=(*game.features, *(f"is_{agent}" for agent in venv.agents)))
    return _with_names(venv, game, task.change)


def _parameters(entry: Any) -> Mapping[str, inspect.Parameter]:
    """What a factory takes, by name; empty where it does not say so."""
    try:
        return inspect.signature(entry).parameters
    except (TypeError, ValueError):
        return {}


def create(game: Game, arguments: dict[str, Any]) -> Any:
    """A game's own environment, adapted to Gymnasium where that is needed, and nothing else. Raises what it raises."""
    if game.entry is None:
        env: Any = gym.make(game.id, disable_env_checker=True, **arguments)
    else:
        entry = load_attribute(game.entry, kind="game")
        own = "max_episode_steps" in inspect.signature(entry).parameters
        limit = None if own else arguments.get("max_episode_steps")
        env = entry(**{key: value for key, value in arguments.items() if own or key != "max_episode_steps"})
        env = env if limit is None else TimeLimit(env, limit)
    return env if game.adapt is None else load_attribute(game.adapt, kind="game")(env)


def _arguments(game: Game, task: Task, render: Render) -> dict[str, Any]:
    """The game's, the task's over them, the time limit and the render mode."""
    arguments = {**game.arguments, **task.arguments}
    if task.change.time_limit is not None:
        arguments["max_episode_steps"] = task.change.time_limit
    if render:
        arguments["render_mode"] = _render_mode(render)
    return arguments


def _render_mode(render: Render) -> str | None:
    return ("rgb_array" if render is True else render) or None


def _identifier(name: str) -> str:
    return name if name in gym.registry else name.rpartition(":")[2]


def _with_names(venv: VecEnv, game: Game, change: Change) -> VecEnv:
    """Tell `interface` the names, through the metadata of the innermost VecEnv."""
    actions = game.actions if change.actions is None else subset_names(change.actions, game.actions)
    names = {
        "game": game.id,
        "features": game.features,
        "actions": actions,
        "values": game.values,
        "anchor": game.anchor,
    }
    if game.cells is not None and change.actions is None:
        names["cells"] = game.cells
    metadata: dict[str, Any] = {**(venv.metadata or {}), "headstart": names}
    venv.metadata = metadata
    return venv


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        log.warning(text)


@contextmanager
def _creating(task: Task) -> Iterator[None]:
    """What goes wrong while a game is made, in one line: a user's arguments, a missing package, the game itself."""
    try:
        yield
    except HeadstartError:
        raise
    except ModuleNotFoundError as error:
        raise missing_module(task.game, error, "game") from error
    except (TypeError, gym.error.Error) as error:
        raise ConfigError(f"game {task} cannot be made: {' '.join(str(error).split())}") from error
    except (Exception, SystemExit) as error:
        raise GameError(f"game {task} raised {' '.join(repr(error).split())} while it was made") from error
