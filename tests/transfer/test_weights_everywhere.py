"""Weight reuse in whole trainings, with every learner that it makes sense for; and SAC's and TD3's layers."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.algorithms import resolve
from agents.build import build_network
from agents.config import Evaluation, RunConfig
from agents.parts import of_part, parts
from envs.errors import ConfigError
from envs.interface import Interface
from envs.task import Change, Task
from tests.transfer.teachers import SHORT, carried, run_config
from transfer.carry import hooks_for, train_run
from transfer.mapping import Mapping
from transfer.method import Crossing, compose

PENDULUM = Task(game="Pendulum-v1", change=Change(time_limit=20))
SMALL = {"net_arch": [8, 8], "batch_size": 16, "buffer_size": 500, "learning_starts": 20, "n_envs": 1}
METHODS = {
    "chosen layers": [{"method": "finetune", "layers": ["encoder", "torso.0", "value_head"]}],
    "thawing": [{"method": "finetune", "unfreeze": 0.5, "decay": 0.5}],
    "frozen": [{"method": "finetune", "freeze": ["torso"], "rates": {"action_head": 0.5}}],
    "perturb": ["finetune", "perturb"],
    "l2sp": [{"method": "finetune", "layers": "torso"}, {"method": "l2sp", "beta": 0.1}],
    "ewc": ["finetune", {"method": "ewc", "samples": 32}],
    "optimiser": [{"method": "finetune", "optimiser": True}],
}


def config_of(algorithm, steps=128, seed=0):
    if algorithm in ("ppo", "a2c", "dqn"):
        fast = {"learning_starts": 20} if algorithm == "dqn" else {}
        return run_config(
            SHORT, algorithm=algorithm, steps=steps, seed=seed, net_arch=[8, 8], learning_rate=1e-3, **fast
        )
    return RunConfig(
        task=PENDULUM,
        algorithm=algorithm,
        hyperparameters=resolve(PENDULUM, algorithm, SMALL),
        steps=steps,
        seed=seed,
        evaluation=Evaluation(every=64, episodes=2, mode="greedy"),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for algorithm in ("ppo", "a2c", "dqn", "sac", "td3"):
        train_run(config_of(algorithm), folder)
    return folder


def without_value_head(entry):
    layers = [name for name in entry["layers"] if name != "value_head"]
    return {**entry, "layers": layers}


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "sac", "td3"])
@pytest.mark.parametrize("way", METHODS)
def test_every_way_trains_with_every_learner(way, algorithm, root):
    by = METHODS[way]
    if algorithm == "dqn" and way == "chosen layers":
        by = [without_value_head(by[0])]
    config = carried(config_of(algorithm, seed=4), config_of(algorithm), by)
    if algorithm == "td3" and way == "ewc":
        with pytest.raises(ConfigError, match="td3's policy has none; take l2sp"):
            train_run(config, root)
        return
    run = train_run(config, root)
    assert run.done
    start, end = (parts(policy.network) for policy in (run.policy(0), run.policy()))
    held = {"torso.0", "torso.1"} if way == "frozen" else set()
    for name, parameters in start.items():
        same = all(torch.equal(p, q) for p, q in zip(parameters, end[name], strict=True))
        assert same is (name in held), name


def test_a_sac_goes_on_with_its_entropy_coefficient(root):
    source = train_run(config_of("sac"), root)
    known = source.policy().learning["log_ent_coef"]
    assert known.item() != 0.0
    config = carried(config_of("sac", seed=5), config_of("sac"), ["finetune"])
    run = train_run(config, root)
    assert f"the entropy coefficient starts at the source's {float(known.exp()):.3g}" in (
        run.path / "log.txt"
    ).read_text(encoding="utf-8")


def test_the_same_config_gives_the_same_weights(root):
    config = carried(config_of("ppo", seed=6), config_of("ppo"), ["finetune", "perturb", "l2sp", "ewc"])
    first = hooks_for(config, root)
    from agents.algorithms import build_learner
    from envs.vector import make_vec

    made = []
    for methods in (first, hooks_for(config, root)):
        torch.rand(len(made) + 1)  # whatever was drawn before
        hyperparameters = methods.build(dict(config.hyperparameters))
        learner = build_learner("ppo", make_vec(SHORT, n_envs=2, seed=0), hyperparameters, seed=6)
        methods.initialise(learner)
        made.append((learner, [pull.strength for pull in methods.methods[3]._pulling._of["policy"]]))
    (one, held), (other, also) = made
    assert all(torch.equal(p, q) for p, q in zip(one.policy.parameters(), other.policy.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q in zip(held, also, strict=True))


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_the_parts_of_actors_and_critics(algorithm):
    known = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32))
    policy = build_network(algorithm, {"net_arch": [4, 5], "normalise_observations": False}, known)
    found = parts(policy)
    assert list(found) == ["torso.0", "torso.1", "action_head", "value_head"]
    counted = [id(p) for several in found.values() for p in several]
    learning = {id(p) for name, p in policy.named_parameters() if "_target" not in name}
    assert len(counted) == len(set(counted))
    assert set(counted) == learning
    assert {id(p) for p in of_part(policy, "torso")} == {id(p) for n in ("torso.0", "torso.1") for p in found[n]}
    assert all(p.shape[0] in (1, 2) for head in ("action_head", "value_head") for p in found[head])


def test_a_critic_that_is_all_frozen_is_refused():
    known = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32))
    config = RunConfig(task=PENDULUM, algorithm="sac", steps=1)
    crossing = Crossing(config, config, Mapping.between(known, known))
    with pytest.raises(ConfigError, match="leaves the critic nothing to learn: free its torso or its value_head"):
        compose([{"method": "finetune", "freeze": ["torso", "value_head"]}]).check(crossing)
    compose([{"method": "finetune", "layers": "torso"}]).check(crossing)
