"""What a run's config says of transfer: its key, its refusals, and trainings that carry something."""

import shutil

import numpy as np
import pytest
import torch

from agents.config import RunConfig
from envs.errors import CheckpointError, ConfigError, MappingError, UnknownName
from envs.task import Task
from tests.transfer.teachers import CARTPOLE, carried, run_config
from transfer.carry import carry_of, check, hooks_for, train_run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of runs with a finished source by PPO and one by DQN: (root, {algorithm: config})."""
    root = tmp_path_factory.mktemp("runs")
    configs = {name: run_config(algorithm=name) for name in ("ppo", "dqn")}
    for config in configs.values():
        train_run(config, root)
    return root, configs


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_finetuned_run_starts_where_its_source_ended(home, algorithm):
    root, configs = home
    source = train_run(configs[algorithm], root)
    run = train_run(carried(run_config(algorithm=algorithm, net_arch=[5, 5]), configs[algorithm], ["finetune"]), root)
    assert np.array_equal(run.evaluations().returns[0], source.evaluations().returns[-1])
    theirs, ours = source.policy().network.state_dict(), run.policy(0).network.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items() if "q_net_target" not in name)
    log = (run.path / "log.txt").read_text()
    assert "finetune: features carried as they are: position, velocity, angle, angular_velocity" in log


def test_the_same_config_gives_the_same_weights(home):
    root, configs = home
    config = carried(run_config(seed=7), configs["ppo"], ["finetune", {"method": "shape", "scale": 0.5}, "kickstart"])
    weights = []
    for _ in range(2):
        run = train_run(config, root)
        weights.append(run.policy().network.state_dict())
        shutil.rmtree(run.path)
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())


@pytest.mark.parametrize("by", ["kickstart", "shape"])
def test_each_method_changes_what_is_learnt(home, by):
    root, configs = home
    alone = train_run(run_config(seed=1), root).policy().network.state_dict()
    helped = train_run(carried(run_config(seed=1), configs["ppo"], [by]), root).policy().network.state_dict()
    assert any(not torch.equal(alone[name], value) for name, value in helped.items())


def test_knowledge_crosses_from_action_values_to_an_actor_critic(home):
    root, configs = home
    run = train_run(carried(run_config(seed=2), configs["dqn"], ["kickstart", "shape"]), root)
    assert run.state == "done"


def test_a_finished_run_needs_no_source(home):
    root, _ = home
    source = run_config(seed=11)
    train_run(source, root)
    config = carried(run_config(seed=11), source, ["shape"])
    first = train_run(config, root)
    shutil.rmtree(root / source.key())
    assert train_run(config, root).path == first.path


def test_a_policy_kept_on_the_way_can_be_the_source(home):
    root, configs = home
    source = train_run(configs["ppo"], root)
    early = hooks_for(carried(run_config(), configs["ppo"], ["finetune"], source_step=0), root)
    ours = early.methods[0].context.teacher.network.state_dict()
    kept = source.policy(0).network.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in kept.items())
    with pytest.raises(CheckpointError, match="kept no policy at step 5; kept: 0, "):
        hooks_for(carried(run_config(), configs["ppo"], ["finetune"], source_step=5), root)


def test_the_key_holds_every_setting_and_only_that(home):
    _, configs = home
    keys = [
        carried(run_config(), configs["ppo"], by).key()
        for by in (
            ["kickstart"],
            [{"method": "kickstart", "until": 0.5}],
            [{"method": "kickstart", "until": 0.4}],
            ["kickstart", "shape"],
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_carry_survives_json(home):
    _, configs = home
    config = carried(
        run_config(),
        configs["ppo"],
        [{"method": "finetune", "freeze": ["torso"]}],
        mapping={"actions": {"left": "left"}},
    )
    again = RunConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.key() == config.key()
    assert carry_of(again) == carry_of(config)


def test_what_cannot_work_is_said_before_the_source_is_trained():
    source = run_config(CARTPOLE)
    acrobot = Task(game="Acrobot-v1")
    with pytest.raises(MappingError, match=r"from headstart/CartPole-v1 to Acrobot-v1: no feature .* --feature"):
        check(carried(run_config(acrobot), source, ["finetune"]), source)
    paired = {"features": {"cos_angle_1": "angle"}, "actions": {"left_torque": "left"}}
    with pytest.raises(UnknownName, match="unknown target action 'left_torque'"):
        check(carried(run_config(acrobot), source, ["finetune"], mapping=paired), source)
    with pytest.raises(ConfigError, match="source was trained with dqn"):
        check(carried(run_config(), run_config(algorithm="dqn"), ["finetune"]), run_config(algorithm="dqn"))
    assert check(carried(run_config(), source, ["finetune"]), source).identity


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"by": ["finetun"]}, UnknownName, "did you mean 'finetune'"),
        ({"by": ["shape", "shape"]}, ConfigError, "given twice"),
        ({"by": []}, ConfigError, "no method is given"),
        ({"by": [{"method": "finetune", "layer": "all"}]}, ConfigError, "did you mean 'layers'"),
        ({"by": ["shape"], "maping": {}}, ConfigError, "transfer: unknown key 'maping': did you mean 'mapping'"),
        ({"by": ["shape"], "mapping": {"feature": {}}}, ConfigError, "did you mean 'features'"),
    ],
)
def test_a_wrong_document_gets_one_line(document, kind, words):
    config = run_config().model_copy(update={"transfer": {"source": "0123", **document}})
    with pytest.raises(kind, match=words) as caught:
        carry_of(config)
    assert "\n" not in str(caught.value)


def test_a_source_that_is_not_there_or_not_finished(home, tmp_path):
    root, configs = home
    with pytest.raises(UnknownName, match="holds no runs"):
        train_run(carried(run_config(), configs["ppo"], ["shape"]), tmp_path)
    shutil.copytree(root / configs["ppo"].key(), tmp_path / configs["ppo"].key())
    (tmp_path / configs["ppo"].key() / "DONE").unlink()
    with pytest.raises(CheckpointError, match="is unfinished; expected a finished run"):
        train_run(carried(run_config(), configs["ppo"], ["shape"]), tmp_path)
