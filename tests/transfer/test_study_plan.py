"""From a study to its runs: what is shared, what is stable, and what is refused before anything is trained."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from agents import files
from agents.algorithms import resolve
from agents.config import RunConfig
from envs.errors import CheckpointError, HeadstartError, UnknownName
from envs.task import Task
from envs.turns.opponents import First
from transfer.study import check as checking
from transfer.study.check import check
from transfer.study.order import in_order
from transfer.study.plan import Plan, plan
from transfer.study.spec import Study, parse_study
from transfer.study.store import _as_settled, _game_as_it_is

BASE = """
name = "small"
seeds = 4
[source]
game = "headstart/CartPole-v1"
steps = 1000
[target]
game = "headstart/CartPoleLong-v1"
steps = 3000
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""


def study(more: str = "", **changes: Any) -> Study:
    """The base study with text added and top-level tables replaced."""
    return parse_study(tomllib.loads(BASE + more) | changes, "small.toml")


def keys(planned: Plan, arm: str) -> list[str]:
    return [run.key for run in planned.of(arm)]


def test_sources_come_first_and_seed_i_starts_from_source_i(tmp_path: Path) -> None:
    planned = plan(study(), tmp_path)
    assert [(run.arm, run.seed) for run in planned.runs] == [
        *(("source", seed) for seed in range(4)),
        *(("scratch", seed) for seed in range(4)),
        *(("finetune", seed) for seed in range(4)),
    ]
    assert [run.after for run in planned.of("scratch")] == [None] * 4
    assert [run.after for run in planned.of("finetune")] == keys(planned, "source")
    assert [run.config.transfer["source"] for run in planned.of("finetune")] == keys(planned, "source")  # type: ignore[index]
    assert [run.config.seed for run in planned.of("finetune")] == [0, 1, 2, 3]
    assert len(planned.distinct) == 12
    assert planned.steps == 4 * 1000 + 8 * 3000


def test_keys_are_stable_and_survive_json(tmp_path: Path) -> None:
    first, second = plan(study(), tmp_path), plan(study(), tmp_path / "elsewhere")
    assert [run.key for run in first.runs] == [run.key for run in second.runs]
    for run in first.runs:
        assert RunConfig.model_validate_json(run.config.model_dump_json()).key() == run.key


def test_another_arm_leaves_the_others_alone(tmp_path: Path) -> None:
    before, after = plan(study(), tmp_path), plan(study('[arms.shape]\nby = ["shape"]\n'), tmp_path)
    assert {run.key for run in before.runs} < {run.key for run in after.runs}


def test_a_source_is_shared_by_studies_with_other_targets(tmp_path: Path) -> None:
    other = study(name="other", target={"game": "headstart/CartPoleMoon-v1", "steps": 500}, evaluation={"every": 50})
    assert keys(plan(study(), tmp_path), "source") == keys(plan(other, tmp_path), "source")
    assert not set(keys(plan(study(), tmp_path), "scratch")) & set(keys(plan(other, tmp_path), "scratch"))


def test_what_decides_a_source_decides_what_is_made_of_it(tmp_path: Path) -> None:
    longer = study(source={"game": "headstart/CartPole-v1", "steps": 2000})
    before, after = plan(study(), tmp_path), plan(longer, tmp_path)
    assert keys(before, "scratch") == keys(after, "scratch")
    assert not set(keys(before, "finetune")) & set(keys(after, "finetune"))


def test_a_methods_defaults_are_part_of_the_key(tmp_path: Path) -> None:
    spelt = study('[arms.spelt]\nby = [{ method = "finetune", layers = "all" }]\n')
    planned = plan(spelt, tmp_path)
    assert keys(planned, "spelt") == keys(planned, "finetune")
    assert len(planned.distinct) == 12, "equal arms share their runs"


def test_a_shared_source_is_trained_once_and_marked(tmp_path: Path) -> None:
    shared = study(source={"game": "headstart/CartPole-v1", "steps": 1000, "seeds": "shared"})
    planned = plan(shared, tmp_path)
    assert len(planned.of("source")) == 1
    assert {run.after for run in planned.of("finetune")} == set(keys(planned, "source"))
    assert any("this checkpoint only" in line for line in planned.warnings)


def test_a_run_can_be_the_source(tmp_path: Path) -> None:
    trained = plan(study(), tmp_path).of("source")[0]
    folder = tmp_path / trained.key
    folder.mkdir()
    files.write_text(folder / "config.json", trained.config.model_dump_json())
    given = study(source={"run": trained.key[:8]})
    with pytest.raises(CheckpointError, match="is unfinished; expected a finished run"):
        plan(given, tmp_path)
    files.write_text(folder / "DONE", "")
    planned = plan(given, tmp_path)
    assert planned.of("source") == []
    assert all(run.config.transfer["source"] == trained.key for run in planned.of("finetune"))  # type: ignore[index]
    assert all(run.after is None for run in planned.runs)
    assert any("this checkpoint only" in line for line in planned.warnings)
    assert check(planned) > 0


def test_an_unknown_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown run 'abc'"):
        plan(study(source={"run": "abc"}), tmp_path)


def test_a_design_that_cannot_reject_says_so(tmp_path: Path) -> None:
    few, enough = plan(study(seeds=3), tmp_path), plan(study(), tmp_path)
    assert any(
        "seeds: 3, arms besides scratch: 1; that cannot give a verdict" in line and "use more seeds" in line
        for line in few.warnings
    )
    assert enough.warnings == ()


def test_arms_that_differ_in_more_than_methods_are_told(tmp_path: Path) -> None:
    planned = plan(study('[arms.fast]\nby = ["finetune"]\nset = { learning_rate = 1e-2 }\n'), tmp_path)
    assert any(
        "arms.fast differs from scratch in more than its methods: learning_rate 0.01" in line
        for line in planned.warnings
    )
    assert planned.of("fast")[0].config.hyperparameters["learning_rate"] == 1e-2
    assert not set(keys(planned, "fast")) & set(keys(planned, "finetune"))


MAPPED = """
[arms.crossed]
by = ["finetune"]
[arms.crossed.mapping]
actions = { left = "right", right = "left" }
"""


def test_an_arm_can_have_a_mapping_of_its_own(tmp_path: Path) -> None:
    filled = study(MAPPED, mapping={"margin": 2.0, "actions": {"left": "left"}})
    planned = plan(filled, tmp_path)
    crossed = planned.of("crossed")[0].config.transfer["mapping"]  # type: ignore[index]
    finetune = planned.of("finetune")[0].config.transfer["mapping"]  # type: ignore[index]
    assert crossed["actions"] == {"left": "right", "right": "left"}, "the arm's stands instead of the study's"
    assert finetune["actions"] == {"left": "left"}
    assert crossed["margin"] == finetune["margin"] == 2.0, "what the arm does not say is the study's"
    assert check(planned) > 0
    again = parse_study(filled.model_dump(mode="json"), "again")
    assert keys(plan(again, tmp_path), "crossed") == keys(planned, "crossed")


def test_an_arms_mapping_leaves_the_others_alone(tmp_path: Path) -> None:
    before, after = plan(study(), tmp_path), plan(study(MAPPED), tmp_path)
    assert {run.key for run in before.runs} < {run.key for run in after.runs}
    assert after.warnings == (), "a mapping is part of what is carried"


def test_a_wrong_mapping_of_an_arm_names_the_arm(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"^arms.crossed: .*'up'"):
        check(plan(study(MAPPED.replace('"right"', '"up"')), tmp_path))
    with pytest.raises(HeadstartError, match="scratch has a mapping; expected none"):
        study(arms={"scratch": {"mapping": {"margin": 1.0}}})


def test_the_longest_way_to_the_end_starts_first(tmp_path: Path) -> None:
    order = [run.arm for run in in_order(plan(study(), tmp_path))]
    assert order[:4] == ["source"] * 4
    short = study(
        source={"game": "headstart/CartPole-v1", "steps": 10},
        evaluation={"every": 1000},
        target={"game": "headstart/CartPoleLong-v1", "steps": 3000},
    )
    assert [run.arm for run in in_order(plan(short, tmp_path))][:4] == ["source"] * 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": {"game": "headstart/CartPol-v1", "steps": 5}}, "target: unknown game .*did you mean"),
        ({"source": {"game": "nosuchmodule:Game-v0", "steps": 5}}, "source: .*no module"),
        ({"target": {"game": "headstart/CartPole-v1", "steps": 5, "algorithm": "pp0"}}, "target: unknown algorithm"),
        ({"target": {"game": "headstart/CartPole-v1", "steps": 5, "set": {"gama": 1}}}, "target: .*'gama'.*gamma"),
        ({"arms": {"scratch": {}, "f": {"by": ["finetun"]}}}, "arms.f: unknown method 'finetun': did you mean"),
        ({"arms": {"scratch": {}, "f": {"by": [{"method": "finetune", "layrs": 1}]}}}, "arms.f: .*layrs.*layers"),
        ({"arms": {"scratch": {}, "f": {"by": ["shape", "shape"]}}}, "arms.f: .*'shape' is given twice"),
        ({"arms": {"scratch": {}, "f": {"by": ["shape"], "set": {"gama": 1}}}}, "arms.f: .*'gama'"),
        ({"target": {"game": "Acrobot-v1", "steps": 5}}, "arms.finetune: from .*CartPole.* to Acrobot-v1"),
        ({"mapping": {"features": {"angle": "speed"}}}, "arms.finetune: .*'speed'"),
        (
            {"target": {"game": "headstart/CartPole-v1", "steps": 5, "algorithm": "sac"}},
            "target: sac acts in Box spaces",
        ),
        (
            {"target": {"game": "headstart/CartPole-v1", "steps": 5, "algorithm": "dqn"}},
            "arms.finetune: finetune carries weights between algorithms with one kind of network",
        ),
        (
            {"target": {"game": "headstart/CartPole-v1", "steps": 5, "change": {"reward": "nosuch:reward"}}},
            "target: .*nosuch",
        ),
        (
            {"target": {"game": "headstart/CartPole-v1", "steps": 5, "arguments": {"lenght": 1}}},
            "target: .*lenght",
        ),
    ],
)
def test_a_bad_study_is_refused_before_anything_is_trained(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadstartError, match=words) as caught:
        check(plan(study(**changes), tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Compiling:
    """Two environments whose first step takes ten seconds and whose others take a hundredth each."""

    num_envs = 2

    def __init__(self) -> None:
        self.action_space, self.time, self.steps = spaces.Discrete(3), 0.0, 0
        self.observation_space = spaces.Discrete(2)

    def reset(self) -> None:
        self.time += 1.0

    def step(self, actions: np.ndarray) -> None:
        assert actions.shape == (2,)
        self.time += 0.01 if self.steps else 10.0
        self.steps += 1


def test_what_is_slow_once_is_not_counted_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    games: Any = Compiling()
    monkeypatch.setattr(checking.time, "process_time", lambda: games.time)
    assert checking._playing(games) == pytest.approx(0.005)
    assert games.steps >= checking.DRAWN


def boards(opponent: Any, **more: Any) -> RunConfig:
    """A training against somebody."""
    task = Task(game="headstart/TicTacToe-v0", arguments={"opponent": opponent, **more})
    return RunConfig(task=task, hyperparameters=resolve(task, "ppo", {"n_envs": 8, "net_arch": [8]}), steps=1000)


def test_an_estimate_plays_against_whom_training_will(tmp_path: Path) -> None:
    """Fixed opponents, the learner itself, and its past as halfway through."""
    for opponent, expected in (
        ("mcts:3", ["mcts:3"]),
        (["self", "scripted"], ["self", "scripted"]),
        ("league", ["league", *(f"league at step {step}" for step in range(0, 1000, 100))]),
    ):
        with checking.opened(boards(opponent, against="first"), tmp_path) as games:
            found: Any = games.unwrapped
            names = [each.name for each in found.pool.opponents]
            assert names[1:] == expected[1:]
            assert names[0] in (expected[0], "self")
            assert checking._playing(games) > 0


def test_an_estimate_counts_what_opponents_think(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that moves when it is looked at, and by what an opponent thinks about each board."""
    now, chosen = 0.0, First.choose

    def clock() -> float:
        nonlocal now
        now += 1e-3
        return now

    def estimate(thought: float) -> float:
        def choose(self: First, games: Any, boards: Any, *more: Any) -> Any:
            nonlocal now
            now += thought * len(boards)
            return chosen(self, games, boards, *more)

        monkeypatch.setattr(First, "choose", choose)
        return checking._seconds_a_step(boards("first"), tmp_path)

    monkeypatch.setattr(checking.time, "process_time", clock)
    assert estimate(1e-3) - estimate(0.0) > 0.5e-3, "most steps are answered on each of the boards"


@pytest.mark.parametrize(
    ("opponent", "against", "words"),
    [
        ("self", "nosuchmodule:player", "there is no module 'nosuchmodule'"),
        ("random", "json:dumps", "opponent 'json:dumps' raised"),
        (["self", "run:0123"], "random", "unknown run '0123'"),
        ("random", "league", "opponent 'league' changes as the learner does"),
    ],
)
def test_opponents_that_cannot_be_had_are_found_before_training(
    opponent: Any, against: str, words: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(HeadstartError, match=words),
        checking.opened(boards(opponent, against=against), tmp_path),
    ):
        pass


ATARI = {"game": "ALE/Freeway-v5", "steps": 1000}


def test_an_engine_that_is_left_to_the_machine_is_settled_in_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pytest.importorskip("envs.atari.pool")
    auto = study(source={**ATARI, "arguments": {"engine": "auto"}}, target={**ATARI, "arguments": {"engine": "auto"}})
    monkeypatch.setattr(pool, "why_not", lambda task: None)
    with_envpool = plan(auto, tmp_path)
    assert {run.config.task.arguments["engine"] for run in with_envpool.runs} == {"envpool"}
    reported = _as_settled(with_envpool)
    assert reported["source"]["arguments"] == reported["target"]["arguments"] == {"engine": "envpool"}
    monkeypatch.setattr(pool, "why_not", lambda task: "it is not there")
    assert [run.key for run in plan(auto, tmp_path).runs] == [
        run.key for run in plan(study(source=ATARI, target=ATARI), tmp_path).runs
    ]


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        ({}, True),
        ({"life_loss": True, "clip_rewards": True, "threads": 4, "engine": "auto"}, True),
        ({"mode": 3, "threads": 4}, False),
    ],
)
def test_scores_of_the_catalogue_hold_unless_what_is_scored_is_changed(arguments: dict[str, Any], holds: bool) -> None:
    pytest.importorskip("ale_py", reason="the extra 'atari' is not installed")
    game = _game_as_it_is(study(target={**ATARI, "arguments": arguments}))
    assert (game is not None and game.reference == 29.6) is holds
