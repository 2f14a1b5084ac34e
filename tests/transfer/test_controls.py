"""Controls, source checkpoints and nested seeds: what they are made of, what they cost, and what they leave alone."""

import copy
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents import files
from agents.config import Evaluation, RunConfig
from agents.encoders import Normaliser
from agents.runs import Run
from envs.errors import CheckpointError, ConfigError, HeadstartError
from envs.task import Task
from tests.transfer.teachers import make_teacher, vector
from transfer.carry import Carry, carry_of, train_run
from transfer.controls import variants
from transfer.report.results import results
from transfer.shuffling import shuffled
from transfer.study.data import ArmData, StudyData
from transfer.study.fairness import unlike, unlike_runs
from transfer.study.nesting import Finished, rows_of
from transfer.study.plan import Plan, PlannedRun, continued, plan
from transfer.study.spec import Study, parse_study
from transfer.study.store import collect

SMALL = "set = { n_envs = 2, n_steps = 32, batch_size = 64, n_epochs = 1, net_arch = [8] }"
BASE = f"""
name = "small"
seeds = 3
[source]
game = "headstart/CartPole-v1"
steps = 192
evaluation = {{ every = 192, episodes = 1, snapshots = [0.0] }}
{SMALL}
[target]
game = "headstart/CartPoleLong-v1"
steps = 256
change = {{ time_limit = 30 }}
{SMALL}
[evaluation]
every = 100
episodes = 2
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""
ALL = """
[controls]
source_budget = true
shuffled_teacher = true
"""


def study(more: str = "", **source: Any) -> Study:
    """The base study with text added and keys of its source set."""
    document = tomllib.loads(BASE + more)
    document["source"] |= source
    return parse_study(document, "small.toml")


def of_config(run: PlannedRun) -> Carry:
    return carry_of(run.config)


# Shuffled teachers


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_shuffled_policy_has_the_same_weights_elsewhere(algorithm: str) -> None:
    made = make_teacher(algorithm, vector("a", "b", "c"), {"net_arch": [16], "normalise_observations": True})
    before = copy.deepcopy(made.network.state_dict())
    network = shuffled(made, seed=3).network
    for name, weight in network.named_parameters():
        assert torch.equal(weight.flatten().sort().values, before[name].flatten().sort().values)
        assert weight.numel() < 4 or not torch.equal(weight, before[name])
    for name, module in network.named_modules():
        if isinstance(module, Normaliser):
            assert torch.equal(module.mean, before[f"{name}.mean"]), "it says what the game looks like"
    if algorithm == "dqn":
        ours = dict(network.q_net.named_parameters())
        assert all(torch.equal(ours[name], weight) for name, weight in network.q_net_target.named_parameters())


def test_the_order_depends_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(torch.initial_seed() + 1)  # the global generator plays no part
        made = make_teacher("ppo", vector("a", "b"), {"net_arch": [16]})
        return torch.cat([weight.flatten() for weight in shuffled(made, seed).network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_keys_of_runs_that_never_heard_of_controls_stay() -> None:
    """A default that says nothing is in no document, so that it changes no key."""
    assert "shuffled" not in Carry(source="k", by=("finetune",)).model_dump(mode="json")
    assert "through" not in Evaluation().model_dump(mode="json")
    config = RunConfig(task=Task(game="headstart/CartPole-v1"), steps=10, evaluation=Evaluation(every=4, through=3))
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    assert config.key() != config.model_copy(update={"evaluation": Evaluation(every=4)}).key()


# The arms of a study


def test_arms_are_made_of_checkpoints_and_controls() -> None:
    assert list(variants(study())) == ["scratch", "finetune"]
    more = '[arms.shape]\nby = ["shape"]\n' + ALL
    assert list(variants(study(more))) == [
        *("scratch", "finetune", "shape", "finetune+shuffled", "shape+shuffled", "scratch+source")
    ]
    found = variants(study(ALL, checkpoints=[1.0, 0.25]))
    assert list(found) == ["scratch", "finetune@25%", "finetune@100%", "finetune@100%+shuffled", "scratch+source"]
    assert found["finetune@100%+shuffled"].beside == "finetune@100%"
    assert [variant.control for variant in found.values()] == [None] * 3 + ["shuffled teacher", "source budget"]


def test_an_arm_may_not_have_the_name_of_one_that_is_made(tmp_path: Path) -> None:
    taken = '[arms."scratch+source"]\nby = ["shape"]\n[controls]\nsource_budget = true\n'
    with pytest.raises(ConfigError, match=r"^arms.scratch\+source: the study makes an arm of this name itself"):
        plan(study(taken), tmp_path)


@given(every=st.none() | st.integers(1, 400), steps=st.integers(1, 1000), source=st.integers(1, 1000))
def test_the_curve_of_the_source_budget_lies_on_the_targets_grid(every: int | None, steps: int, source: int) -> None:
    task, evaluation = Task(game="headstart/CartPole-v1"), Evaluation(every=every)
    scratch = RunConfig(task=task, steps=steps, evaluation=evaluation)
    control = continued(scratch, source)
    assert control.steps == source + steps
    grid = control.evaluation.grid(control.steps)
    assert grid[0] == 0
    assert [at - source for at in grid if at >= source] == evaluation.grid(steps)


def test_controls_leave_the_other_runs_alone(tmp_path: Path) -> None:
    before, after = plan(study(), tmp_path), plan(study(ALL), tmp_path)
    assert {run.key for run in before.runs} < {run.key for run in after.runs}
    assert len(after.runs) == len(before.runs) + 6
    for run, own in zip(after.of("finetune+shuffled"), after.of("finetune"), strict=True):
        assert of_config(run) == of_config(own).model_copy(update={"shuffled": True})
        assert run.after == own.after
    assert all(run.after is None and run.config.transfer is None for run in after.of("scratch+source"))


def test_each_target_seed_starts_from_each_nested_source(tmp_path: Path) -> None:
    planned = plan(study(ALL, seeds={"nested": 4}), tmp_path)
    sources = {run.seed: run.key for run in planned.of("source")}
    assert sorted(sources) == [0, 1, 2, 3]
    runs = planned.of("finetune")
    assert [(run.source_seed, run.seed) for run in runs] == [(j, i) for j in range(4) for i in range(3)]
    assert all(of_config(run).source == run.after == sources[run.source_seed or 0] for run in runs)
    assert len(planned.of("finetune+shuffled")) == 12
    for arm in ("scratch", "scratch+source"):
        blocks = [(run.block, run.seed) for run in planned.of(arm)]
        assert blocks == [(i // 3, i) for i in range(12)], "as many runs to an observation as the arms have"
        assert {run.source_seed for run in planned.of(arm)} == {None}
    assert {run.key for run in plan(study(), tmp_path).of("scratch")} < {run.key for run in planned.of("scratch")}
    paired = plan(study(), tmp_path)
    assert {run.key for run in paired.of("finetune")} < {run.key for run in runs}, "the diagonal is the paired study"
    assert str(runs[5]) == "finetune seed 2 of source 1"


def test_a_checkpoint_is_a_policy_that_the_source_keeps(tmp_path: Path) -> None:
    planned = plan(study(checkpoints=[0.25, 0.5, 1]), tmp_path)
    assert {run.config.evaluation.snapshots for run in planned.of("source")} == {(0.0, 0.25, 0.5)}
    steps = [of_config(planned.of(name)[0]).source_step for name in ("finetune@25%", "finetune@50%", "finetune@100%")]
    assert steps == [48, 96, None]
    plain = plan(study(), tmp_path)
    assert {run.key for run in plan(study(checkpoints=[1.0, 0.0]), tmp_path).of("source")} == {
        run.key for run in plain.of("source")
    }, "what is kept anyway changes no key"


def test_a_given_run_must_have_kept_its_checkpoints(tmp_path: Path) -> None:
    source = plan(study(), tmp_path).of("source")[0].config
    run = train_run(source, tmp_path)
    document = tomllib.loads(BASE)
    document["source"] = {"run": run.key, "checkpoints": [0.0, 0.3]}
    with pytest.raises(CheckpointError, match=r"source.checkpoints: run \w+ kept no policy at step 58; kept: 0, 192"):
        plan(parse_study(document, "f"), tmp_path)
    document["source"]["checkpoints"] = [0.0, 1.0]
    planned = plan(parse_study(document, "f"), tmp_path)
    assert [of_config(planned.of(name)[0]).source_step for name in ("finetune@0%", "finetune@100%")] == [0, None]


def test_controls_do_not_count_among_the_arms_that_are_tested(tmp_path: Path) -> None:
    few = plan(study(ALL, seeds={"nested": 2}), tmp_path).warnings
    assert any(
        "seeds: 3 (2 sources, each of which counts as one), arms besides scratch: 1;" in line
        and "use more sources" in line
        for line in few
    )
    two = plan(study(ALL, checkpoints=[0.5, 1.0]), tmp_path).warnings
    assert any("arms besides scratch: 2;" in line for line in two)


# What arms differ in


def test_whatever_an_arm_sets_otherwise_is_told(tmp_path: Path) -> None:
    fast = (
        '[arms.fast]\nby = ["finetune"]\nset = { gamma = 0.9 }\n[arms.alike]\nby = ["shape"]\nset = { n_epochs = 1 }\n'
    )
    told = [line for line in plan(study(fast + ALL), tmp_path).warnings if "more than its methods" in line]
    assert told == ["arms.fast differs from scratch in more than its methods: gamma 0.9 (scratch: 0.99)"]


def test_configs_are_compared_in_all_but_seed_and_methods() -> None:
    base = RunConfig(task=Task(game="headstart/CartPole-v1"), steps=10, hyperparameters={"gamma": 0.9, "n_envs": 2})
    assert unlike(base.model_copy(update={"seed": 4, "transfer": {"source": "k"}}), base) == []
    other = base.model_copy(update={"algorithm": "dqn", "steps": 20, "hyperparameters": {"gamma": 0.9, "tau": 1.0}})
    assert unlike(other, base) == [
        *("algorithm dqn (scratch: ppo)", "steps 20 (scratch: 10)", "n_envs none (scratch: 2)"),
        "tau 1.0 (scratch: none)",
    ]
    greedy = base.model_copy(update={"evaluation": Evaluation(mode="greedy", episodes=3)})
    assert unlike(greedy, base) == [*("evaluation.episodes 3 (scratch: 20)", "evaluation.mode greedy (scratch: none)")]


def test_runs_that_were_made_with_other_versions_are_told() -> None:
    old = {"versions": {"torch": "2.1", "headstart": "0.1"}, "python": "3.11.2", "commit": "a" * 40 + "+"}
    new = {**old, "versions": {"torch": "2.1", "headstart": "0.2"}, "commit": "b" * 40}
    assert list(unlike_runs({"scratch": [old, old], "finetune": [old]})) == []
    assert list(unlike_runs({"scratch": [old, old], "finetune": [old, new, new], "empty": []})) == [
        "the runs were not all made with the same headstart: scratch: 0.1; finetune: 0.2 (2 runs), 0.1 (1 run)",
        COMMITS,
    ]


COMMITS = (
    "the runs were not all made with the same commit: scratch: aaaaaaaaaaaa+; "
    "finetune: bbbbbbbbbbbb (2 runs), aaaaaaaaaaaa+ (1 run)"
)


# What comes of it


def finished(source: int | None, seed: int, *scores: float, before: int = 0) -> Finished:
    config = RunConfig(task=Task(game="headstart/CartPole-v1"), steps=10, seed=seed)
    return Finished(PlannedRun("a", seed, config, source_seed=source, block=source), np.array(scores), before, 0)


def test_a_source_is_one_observation() -> None:
    runs = [finished(0, 0, 1.0, 3.0), finished(0, 1, 3.0, 5.0), finished(2, 1, 7.0, 9.0, before=4)]
    rows = rows_of(runs, [*(each.run for each in runs), finished(2, 0).run, finished(1, 0).run], 2)
    assert rows["scores"].tolist() == [[2.0, 4.0], [7.0, 9.0]]
    assert rows["seeds"] == (0, 2)
    assert rows["before"] == (0, 4)
    nested = rows["nested"]
    assert (nested.source_seeds, nested.target_seeds) == ((0, 2), ((0, 1), (1, 0)))
    assert nested.scores.shape == (2, 2, 2)
    assert np.isnan(nested.scores[1, 1]).all(), "the run that is missing"
    assert nested.run_keys[1][1] is None
    alone = finished(None, 4, 1.0, 2.0)
    plain = rows_of([alone], [alone.run], 2)
    assert (plain["seeds"], plain["scores"].tolist(), "nested" in plain) == ((4,), [[1.0, 2.0]], False)
    assert rows_of([], [alone.run], 3)["scores"].shape == rows_of([], [runs[0].run], 3)["scores"].shape == (0, 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, StudyData]:
    """A study with all controls, two nested sources and two checkpoints, trained."""
    whole = study(ALL, seeds={"nested": 2}, checkpoints=[0.5, 1.0]).model_copy(update={"seeds": (0, 1)})
    planned = plan(whole, tmp_path_factory.mktemp("runs"))
    for run in planned.runs:
        train_run(run.config, planned.root)
    data = collect(whole, planned.root)
    assert isinstance(data, StudyData)
    return planned, data


def test_all_arms_stand_on_one_grid(trained: tuple[Plan, StudyData]) -> None:
    planned, data = trained
    assert data.steps.tolist() == [0, 100, 200, 256]
    assert {arm.scores.shape for arm in data.arms.values()} == {(2, 4)}
    assert all(not arm.failed for arm in data.arms.values())
    own = [planned.run(run).evaluations() for run in planned.of("scratch+source") if run.block == 1]
    assert [run.steps.tolist() for run in own] == [[0, 92, 192, 292, 392, 448]] * 2
    assert np.allclose(data.arms["scratch+source"].scores[1], (own[0].means[2:] + own[1].means[2:]) / 2)
    assert data.evaluation["every"] == 100
    assert {name: arm.source_steps for name, arm in data.arms.items()} == {
        "scratch": 0,
        "finetune@50%": 96,
        "finetune@100%": 192,
        "finetune@100%+shuffled": 192,
        "scratch+source": 192,
    }


def test_a_student_starts_as_its_teacher_did_at_the_checkpoint_or_shuffled(trained: tuple[Plan, StudyData]) -> None:
    planned, _ = trained
    (source, *_), half = planned.of("source"), planned.of("finetune@50%")[0]
    at_half = planned.run(source).policy(96).network.state_dict()
    theirs = planned.run(source).policy().network
    start = planned.run(half).policy(0).network.state_dict()
    assert all(torch.equal(start[name], at_half[name]) for name, _ in theirs.named_parameters())
    control = planned.run(planned.of("finetune@100%+shuffled")[0]).policy(0).network.state_dict()
    for name, weight in theirs.named_parameters():
        assert torch.equal(control[name].flatten().sort().values, weight.detach().flatten().sort().values)
    assert any(not torch.equal(control[name], weight) for name, weight in theirs.named_parameters())


def test_every_run_of_a_nested_arm_is_there(trained: tuple[Plan, StudyData]) -> None:
    planned, data = trained
    arm = data.arms["finetune@100%"]
    assert arm.nested is not None
    assert arm.nested.run_keys == tuple(
        tuple(run.key for run in planned.of("finetune@100%") if run.source_seed == source) for source in (0, 1)
    )
    assert np.allclose(arm.scores, arm.nested.scores.mean(axis=1))
    scratch = data.arms["scratch"].nested
    assert scratch is not None
    assert scratch.target_seeds == ((0, 1), (2, 3))


def test_controls_are_compared_and_change_no_verdict(trained: tuple[Plan, StudyData]) -> None:
    _, data = trained
    document = results(data)
    alone = results(replace(data, arms={name: arm for name, arm in data.arms.items() if not arm.control}))
    assert [name for name, arm in document["arms"].items() if arm["control"]] == [
        *("finetune@100%+shuffled", "scratch+source")
    ]
    for name, arm in alone["arms"].items():
        assert document["arms"][name]["verdict"] == arm["verdict"]
        assert document["arms"][name]["charged"] == arm["charged"]
    assert document["measured"]["test"] == alone["measured"]["test"]
    control = document["arms"]["scratch+source"]
    assert control["verdict"]["verdict"] is None
    assert control["total_reward"]["value"] is not None
    assert control["charged"]["total_reward"]["value"] is None
    against = document["arms"]["finetune@100%"]["against"]
    assert list(against) == ["finetune@100%+shuffled", "scratch+source"]
    assert list(document["arms"]["finetune@50%"]["against"]) == ["scratch+source"]
    own, other = data.arms["finetune@100%"].scores, data.arms["scratch+source"].scores
    assert against["scratch+source"]["jumpstart"]["value"] == pytest.approx(own[:, 0].mean() - other[:, 0].mean())
    assert "finetune@100% less this in total reward" in control["conclusion"]
    assert any("changes no verdict" in note for note in document["notes"])
    assert any("a source is one observation" in note for note in document["notes"])


def test_what_runs_were_made_with_is_in_the_results(trained: tuple[Plan, StudyData], tmp_path: Path) -> None:
    planned, data = trained
    assert data.differences == ()
    run = planned.run(planned.of("scratch")[0])
    before = run.provenance
    try:
        files.write_json(run.path / "provenance.json", {**before, "python": "2.7"})
        found = collect(planned.study, planned.root)
        assert isinstance(found, StudyData)
        assert "the same python: scratch: " in found.differences[0]
        assert any(note.startswith("Unlike in more than methods: the runs") for note in results(found)["notes"])
    finally:
        files.write_json(run.path / "provenance.json", before)


def test_a_run_that_is_missing_is_named_by_its_source_and_seed(trained: tuple[Plan, StudyData]) -> None:
    planned, _ = trained
    lost: Run = planned.run(planned.of("finetune@50%")[1])
    done = lost.path / "DONE"
    kept = done.read_bytes()
    done.unlink()
    try:
        found = collect(planned.study, planned.root)
        assert isinstance(found, StudyData)
        arm: ArmData = found.arms["finetune@50%"]
        assert arm.failed == ("source 0, seed 1: not trained to its end",)
        assert len(arm.scores) == 2
    finally:
        done.write_bytes(kept)


def test_a_dial_has_the_controls_at_each_of_its_values(tmp_path: Path) -> None:
    dial = '[dial]\nargument = "force_mag"\nvalues = [10.0, 5.0]\n'
    planned = plan(study(ALL + dial), tmp_path)
    assert [len([run for run in planned.of("scratch+source") if run.at == at]) for at, _ in planned.turned] == [3, 3]
    assert list(planned.arms) == ["scratch", "finetune", "finetune+shuffled", "scratch+source"]


@pytest.mark.parametrize(
    ("more", "source", "words"),
    [
        ("[controls]\nsorce_budget = true\n", {}, "unknown key 'sorce_budget': did you mean 'source_budget'"),
        ("[controls]\nsource_budget = 1\n", {}, "controls.source_budget: found 1, expected a valid boolean"),
        ("", {"seeds": {"nested": 1}}, "source.seeds: found {'nested': 1}, expected 'paired', 'shared' or {"),
        ("", {"seeds": {"nest": 3}}, "source.seeds: found {'nest': 3}, expected 'paired', 'shared' or {"),
        ("", {"seeds": 3}, "source.seeds: found 3, expected 'paired', 'shared' or { nested = n } with n at least 2"),
        ("", {"checkpoints": [0.5, 0.5]}, "source.checkpoints: found [0.5, 0.5], expected each share once"),
        ("", {"checkpoints": [1.5]}, "source.checkpoints.0: found 1.5, expected less than or equal to 1"),
        ("", {"checkpoints": 0.5}, "source.checkpoints: found 0.5, expected a list"),
    ],
)
def test_a_mistake_is_named_in_one_line(more: str, source: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadstartError) as caught:
        study(more, **source)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_grid_is_the_studys_to_lay() -> None:
    document = tomllib.loads(BASE)
    document["evaluation"]["through"] = 5
    with pytest.raises(ConfigError, match=r"evaluation\.through: leave it out"):
        parse_study(document, "f")
