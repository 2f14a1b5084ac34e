"""The methods: where each enters training, what it promises there, and how several work together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.auxiliary import attach
from agents.config import RunConfig
from agents.outputs import Batch, Outputs, policy_outputs
from agents.parts import of_part
from envs.errors import ConfigError, UnknownName
from envs.interface import Interface
from envs.vector import make_vec
from tests.transfer.teachers import CARTPOLE, SHORT, context, learner_of, make_teacher, vector
from transfer.carry import interface_of
from transfer.mapping import Mapping
from transfer.method import Composite, Crossing, Method, completed, compose, make_method
from transfer.methods.kickstart import divergence
from transfer.methods.shape import ShapedVecEnv


def observations(n=6, seed=0):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def crossing(source="ppo", target="ppo", run=None):
    """Two runs before training."""
    run = run or context()
    config = RunConfig(task=CARTPOLE, algorithm=source, steps=1)
    return Crossing(config, config.model_copy(update={"algorithm": target}), run.mapping)


# The start


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
def test_a_finetuned_student_starts_as_its_teacher(algorithm):
    run = context(algorithm=algorithm, source=algorithm, net_arch=[3, 3], activation="relu")
    learner = learner_of(compose(["finetune"]), run)
    seen = observations()
    found, expected = policy_outputs(learner.policy, seen), run.teacher.outputs(seen)
    torch.testing.assert_close(found.head, expected.head)
    torch.testing.assert_close(found.value, expected.value)


@pytest.mark.parametrize(("algorithm", "exploration"), [("dqn", 0.0), ("dqn", 0.25), ("sb3-dqn", 0.0)])
def test_a_transferred_dqn_acts_as_its_teacher_from_the_first_step(algorithm, exploration):
    """Stable-Baselines3 alone would act at random until `learning_starts`, then with ε = 1."""
    constant = {"exploration_final_eps": exploration, "learning_starts": 2000}
    run = context(algorithm=algorithm, source="dqn", n_envs=1, **constant)
    learner = learner_of(compose([{"method": "finetune", "exploration": exploration}]), run)
    taken = []

    class Recorder(VecEnvWrapper):
        def reset(self):
            self.seen = self.venv.reset()
            return self.seen

        def step_async(self, actions):
            taken.append((self.seen.copy(), actions.copy()))
            self.venv.step_async(actions)

        def step_wait(self):
            self.seen, rewards, dones, infos = self.venv.step_wait()
            return self.seen, rewards, dones, infos

    learner.set_env(Recorder(learner.env))
    steps = 100 if exploration == 0.0 else 400
    learner.learn(steps)
    seen = np.concatenate([before for before, _ in taken])
    wanted = run.teacher.outputs(torch.as_tensor(seen)).head.argmax(dim=-1).numpy()
    others = (wanted != np.concatenate([actions for _, actions in taken])).mean()
    # Half of the random actions agree with the teacher; the bound is five standard deviations of the share.
    expected = exploration / 2
    assert abs(others - expected) <= 5 * np.sqrt(expected * (1 - expected) / steps)


def test_a_transferred_dqn_still_waits_for_its_buffer_before_it_learns():
    run = context(algorithm="dqn", source="dqn", n_envs=1, learning_starts=200, train_freq=1)
    learner = learner_of(compose(["finetune"]), run)
    learner.learn(150)
    assert learner._n_updates == 0
    assert torch.equal(policy_outputs(learner.policy, observations()).head, run.teacher.outputs(observations()).head)
    assert learner.exploration_initial_eps == 0.05


def test_fresh_heads_on_a_carried_torso():
    run = context()
    learner = learner_of(compose([{"method": "finetune", "layers": "torso"}]), run)
    ours, theirs = learner.policy, run.teacher.network
    assert torch.equal(ours.mlp_extractor.policy_net[0].weight, theirs.mlp_extractor.policy_net[0].weight)
    assert not torch.equal(ours.action_net.weight, theirs.action_net.weight)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
@pytest.mark.parametrize("part", ["torso", "action_head"])
def test_frozen_parts_stay_while_the_others_learn(algorithm, part):
    small = {"n_steps": 16, "batch_size": 16} if algorithm == "ppo" else {"learning_starts": 10}
    run = context(algorithm=algorithm, source=algorithm, **small)
    learner = learner_of(compose([{"method": "finetune", "freeze": [part]}]), run)
    before = {name: value.clone() for name, value in learner.policy.named_parameters()}
    frozen = {id(parameter) for parameter in of_part(learner.policy, part)}
    learner.learn(64)
    changed = {name for name, value in learner.policy.named_parameters() if not torch.equal(value, before[name])}
    held = {name for name, value in learner.policy.named_parameters() if id(value) in frozen}
    assert held
    assert changed
    assert not held & changed


@pytest.mark.parametrize(
    ("entry", "source", "target", "words"),
    [
        ("finetune", "ppo", "dqn", "source was trained with ppo, the target is to be with dqn; take ppo"),
        (
            {"method": "finetune", "freeze": ["torso", "action_head"]},
            "ppo",
            "ppo",
            "leaves the policy nothing to learn",
        ),
        ({"method": "finetune", "freeze": ["value_head"]}, "dqn", "dqn", "dqn has no value_head"),
        ("kickstart", "ppo", "trpo", "trpo has no gradient step"),
        ("kickstart", "sac", "ppo", "cannot compare the policies of sac and ppo"),
        ("kickstart", "qrdqn", "dqn", "cannot read qrdqn's; take ppo"),
        ("shape", "sac", "sac", "sac does not; expected ppo, a2c or dqn"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(entry, source, target, words):
    with pytest.raises(ConfigError, match=words):
        compose([entry]).check(crossing(source, target))


def test_actions_of_several_parts_are_refused_where_heads_are_read():
    several = Interface(spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2]))
    known = replace(crossing(), mapping=Mapping.between(several, several))
    for name in ("kickstart", "shape"):
        with pytest.raises(ConfigError, match=rf"{name} reads single actions .* found MultiDiscrete\(\[2 2\]\)"):
            compose([name]).check(known)
    compose(["finetune"]).check(known)


# The gradient


def test_divergence_of_choices_is_that_of_their_definition():
    teacher = Outputs("categorical", torch.log(torch.tensor([[0.5, 0.25, 0.25]])))
    student = Outputs("categorical", torch.log(torch.tensor([[0.2, 0.4, 0.4]])))
    expected = 0.5 * np.log(0.5 / 0.2) + 0.5 * np.log(0.25 / 0.4)
    assert divergence(teacher, student).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(teacher, teacher).item() == pytest.approx(0, abs=1e-7)
    matched = divergence(teacher, student, (0, 1)).item()  # renormalised to (2/3, 1/3) and (1/3, 2/3)
    assert matched == pytest.approx(2 / 3 * np.log(2) - 1 / 3 * np.log(2), rel=1e-5)


def test_divergence_of_action_values_is_that_of_their_softmax():
    q = Outputs("q", torch.tensor([[1.0, 3.0]]))
    same = Outputs("categorical", torch.tensor([[0.5, 1.5]]))
    assert divergence(q, same, temperature=2.0).item() == pytest.approx(0, abs=1e-6)
    assert divergence(q, same).item() > 0.01


def test_divergence_of_gaussians_agrees_with_torch():
    draw = torch.Generator().manual_seed(0)
    means = [torch.randn(5, 3, generator=draw) for _ in range(2)]
    logs = [torch.randn(5, 3, generator=draw) for _ in range(2)]
    normals = [torch.distributions.Normal(mean, log.exp()) for mean, log in zip(means, logs, strict=True)]
    expected = torch.distributions.kl_divergence(*normals).sum(dim=-1)
    heads = [Outputs("gaussian", mean, log_std=log) for mean, log in zip(means, logs, strict=True)]
    torch.testing.assert_close(divergence(*heads), expected)


def test_the_gradient_is_that_of_the_papers_cross_entropy():
    draw = torch.Generator().manual_seed(0)
    teacher = Outputs("categorical", torch.randn(5, 3, generator=draw))
    logits = torch.randn(5, 3, generator=draw).requires_grad_()
    student = Outputs("categorical", logits)
    (ours,) = torch.autograd.grad(divergence(teacher, student).sum(), logits)
    cross = -(teacher.log_probabilities().exp() * student.log_probabilities()).sum()
    (theirs,) = torch.autograd.grad(cross, logits)
    torch.testing.assert_close(ours, theirs)


def test_a_deterministic_student_is_drawn_to_its_teachers_action():
    teacher, student = (Outputs("deterministic", torch.tensor([value])) for value in ([1.0, 0.0], [0.0, 2.0]))
    assert divergence(teacher, student).item() == pytest.approx(2.5)


def test_kickstarting_fades_and_ends():
    run = context()
    methods = compose([{"method": "kickstart", "coefficient": 2.0, "until": 0.5}])
    learner = learner_of(methods, run)
    batch = Batch(learner.policy, observations())
    losses = []
    for progress in (0.0, 0.25, 0.5, 0.9):
        methods.schedule(progress)
        losses.append(methods.auxiliary_loss(batch))
    assert losses[0].item() > 0
    assert losses[1].item() == pytest.approx(losses[0].item() / 2)
    assert losses[2:] == [None, None]
    methods.schedule(0.0)
    assert methods.auxiliary_loss(Batch(learner.policy, observations(), optimiser="critic")) is None


def test_nothing_pulls_a_student_that_agrees():
    run = context()
    methods = compose(["finetune", "kickstart"])
    learner = learner_of(methods, run)
    assert methods.auxiliary_loss(Batch(learner.policy, observations())).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("ours", "peer", "settings"),
    [
        ("ppo", "sb3-ppo", {"n_steps": 32, "batch_size": 16, "n_epochs": 3, "max_grad_norm": 0.05}),
        ("dqn", "sb3-dqn", {"learning_starts": 20, "batch_size": 16, "gradient_steps": 2, "max_grad_norm": 0.05}),
    ],
)
def test_kickstarting_is_the_same_in_our_loss_and_through_the_adapter(ours, peer, settings):
    """Clipping bites in both, so that the order of adding and clipping shows."""
    weights = {}
    for name in (ours, peer):
        methods = compose([{"method": "kickstart", "coefficient": 5.0}])
        learner = learner_of(methods, context(algorithm=name, **settings))
        attach(learner, methods.auxiliary_loss)
        learner.learn(192)
        weights[name] = learner.policy.state_dict()
    alone = learner_of(Composite([]), context(algorithm=ours, **settings))
    alone.learn(192)
    for key, value in weights[ours].items():
        torch.testing.assert_close(value, weights[peer][key], rtol=1e-5, atol=1e-5, msg=key)
    assert any(not torch.allclose(v, weights[ours][k], atol=1e-3) for k, v in alone.policy.state_dict().items())


# The world


def played(venv, steps=240, seed=0):
    """Random play: episodes as (first observation, what was added to each reward, last observation, terminated)."""
    rng = np.random.default_rng(seed)
    current = [[first, []] for first in venv.reset()]
    episodes = []
    for _ in range(steps):
        seen, rewards, dones, infos = venv.step(rng.integers(0, 2, venv.num_envs))
        for i in range(venv.num_envs):
            current[i][1].append(float(rewards[i]) - 1.0)  # a CartPole pays 1 a step
            if dones[i]:
                terminated = not infos[i]["TimeLimit.truncated"]
                episodes.append((*current[i], infos[i]["terminal_observation"], terminated))
                current[i] = [seen[i], []]
    return episodes


def gap(episodes, potential, gamma):
    """How far the discounted sums of what was added are from −Φ(s₀) (+ γᵀΦ(s_T) if truncated)."""
    gaps = []
    for first, added, last, terminated in episodes:
        total = sum(gamma**t * value for t, value in enumerate(added))
        start, end = potential(np.stack([first, last]))
        gaps.append(abs(total - (-start + (0.0 if terminated else gamma ** len(added) * end))))
    return max(gaps)


@pytest.mark.parametrize("backend", ["batched", "dummy"])
@pytest.mark.parametrize("source", ["ppo", "dqn"])
def test_what_shaping_adds_sums_to_the_potential_of_the_start(backend, source):
    methods = compose([{"method": "shape", "scale": 0.7}])
    run = context(SHORT, source=source)
    methods.bind(run)
    venv = methods.wrap(make_vec(SHORT, n_envs=3, seed=1, backend=backend))
    episodes = played(venv)
    shape = methods.methods[0]
    assert {terminated for *_, terminated in episodes} == {True, False}
    assert venv.gamma == run.hyperparameters["gamma"]
    assert gap(episodes, shape.potential, venv.gamma) < 1e-4
    seen = np.stack([first for first, *_ in episodes])
    expected = 0.7 * run.teacher.outputs(torch.as_tensor(seen)).value.numpy()
    np.testing.assert_allclose(shape.potential(seen), expected, rtol=1e-5)


def test_the_potential_is_that_of_the_mapped_observation():
    source = vector("velocity", "position")
    target = CARTPOLE
    teacher = make_teacher("ppo", source, {"net_arch": [8], "normalise_observations": True})
    run = replace(context(target), teacher=teacher, mapping=Mapping.between(source, interface_of(target)))
    methods = compose(["shape"])
    methods.bind(run)
    venv = methods.wrap(make_vec(target, n_envs=3, seed=0))
    first = venv.reset()
    second, rewards, _, _ = venv.step(np.ones(3, dtype=int))
    before, after = (teacher.outputs(torch.as_tensor(seen[:, [1, 0]])).value.numpy() for seen in (first, second))
    np.testing.assert_allclose(rewards - 1, run.gamma * after - before, atol=1e-5)


@pytest.mark.parametrize("fault", ["terminal potential kept", "truncation taken for termination"])
def test_the_sum_shows_a_wrong_end(fault):
    class Wrong(VecEnvWrapper):
        """Lies about how episodes end."""

        def reset(self):
            return self.venv.reset()

        def step_wait(self):
            seen, rewards, dones, infos = self.venv.step_wait()
            self.truth = [info.get("TimeLimit.truncated", False) for info in infos]
            for info in infos:
                info["TimeLimit.truncated"] = fault == "terminal potential kept"
            return seen, rewards, dones, infos

    class Truthful(VecEnvWrapper):
        def reset(self):
            return self.venv.reset()

        def step_wait(self):
            seen, rewards, dones, infos = self.venv.step_wait()
            for info, truth in zip(infos, self.venv.venv.truth, strict=True):
                info["TimeLimit.truncated"] = truth
            return seen, rewards, dones, infos

    def potential(seen):
        return seen @ np.array([1.0, 2.0, 3.0, 4.0]) + 5.0

    inner = make_vec(SHORT, n_envs=3, seed=1)
    assert gap(played(ShapedVecEnv(inner, potential, 0.9)), potential, 0.9) < 1e-5
    wrong = Truthful(ShapedVecEnv(Wrong(make_vec(SHORT, n_envs=3, seed=1)), potential, 0.9))
    assert gap(played(wrong), potential, 0.9) > 0.1


def test_a_fading_potential_still_sums_to_that_of_the_start():
    """With c(t+1)Φ(s′) and c(t)Φ(s) the sum is −c(0)Φ(s₀) + …; with one c for both it would depend on the path."""
    methods = compose([{"method": "shape", "until": 1.0}])
    methods.bind(context(SHORT))
    shape = methods.methods[0]
    venv = methods.wrap(make_vec(SHORT, n_envs=1, seed=1))
    first = venv.reset()
    assert shape.potential(first)[0] != 0
    added, steps, done = [], 0, [False]
    while not done[0]:
        methods.schedule(steps / 30)
        _, rewards, done, infos = venv.step(np.array([steps % 2]))
        added.append(float(rewards[0]) - 1.0)
        steps += 1
    total = sum(venv.gamma**t * value for t, value in enumerate(added))
    end = 0.0
    if infos[0]["TimeLimit.truncated"]:
        fade = 1 - (steps - 1) / 30
        end = fade * venv.gamma**steps * shape.potential(infos[0]["terminal_observation"][None])[0]
    assert total == pytest.approx(-shape.potential(first)[0] + end, abs=1e-4)


def test_shaping_leaves_finished_episodes_returns_raw():
    methods = compose(["shape"])
    methods.bind(context(SHORT))
    venv = methods.wrap(make_vec(SHORT, n_envs=2, seed=0))
    venv.reset()
    finished = []
    for _ in range(40):
        _, rewards, _, infos = venv.step(np.zeros(2, dtype=int))
        assert not np.allclose(rewards, 1.0)
        finished += [info["episode"] for info in infos if "episode" in info]
    assert finished
    assert all(episode["r"] == episode["l"] for episode in finished)


def test_a_potential_that_is_not_finite_says_so():
    methods = compose(["shape"])
    run = context()
    with torch.no_grad():
        run.teacher.network.value_net.weight.fill_(float("nan"))
    methods.bind(run)
    with pytest.raises(ConfigError, match="source's value of a state is nan: its critic has diverged"):
        methods.wrap(make_vec(CARTPOLE, n_envs=2, seed=0)).reset()


# Together


def test_a_critic_that_starts_at_v_starts_at_v_minus_the_potential_beside_shaping():
    run = context()
    methods = compose(["finetune", {"method": "shape", "scale": 0.4}])
    learner = learner_of(methods, run)
    seen = observations()
    value = run.teacher.outputs(seen).value
    phi = torch.as_tensor(methods.methods[1].potential(seen), dtype=torch.float32)
    found = policy_outputs(learner.policy, seen)
    torch.testing.assert_close(found.value, value - phi)
    torch.testing.assert_close(found.head, run.teacher.outputs(seen).head)
    assert "finetune: the critic starts at V − Φ = 0.6·V, beside the shaped rewards" in methods.notes()


def test_action_values_cannot_start_below_a_potential():
    with pytest.raises(ConfigError, match="count the source's values twice for dqn"):
        compose(["shape", "finetune"]).check(crossing("dqn", "dqn"))
    compose(["shape", {"method": "finetune", "layers": "torso"}]).check(crossing("dqn", "dqn"))


def test_a_method_comes_once():
    with pytest.raises(ConfigError, match="the method 'shape' is given twice"):
        compose(["shape", "finetune", {"method": "shape", "scale": 2.0}])


def test_hooks_run_in_order_nested_and_summed():
    told = []

    class Noted(Method):
        uses_auxiliary_loss = True

        def build(self, hyperparameters):
            return {**hyperparameters, "built": [*hyperparameters.get("built", []), self.name]}

        def initialise(self, learner):
            told.append(self.name)

        def wrap(self, venv):
            return (self.name, venv)

        def auxiliary_loss(self, batch):
            return None if self.name == "b" else torch.tensor(2.0)

        def schedule(self, progress):
            told.append((self.name, progress))

    methods = []
    for name in "abc":
        methods.append(Noted())
        methods[-1].name = name
    both = Composite(methods)
    assert both.build({}) == {"built": ["a", "b", "c"]}
    assert both.wrap("venv") == ("c", ("b", ("a", "venv")))
    assert both.auxiliary_loss(None).item() == 4.0
    both.initialise(None)
    both.schedule(0.5)
    assert told == ["a", "b", "c", ("a", 0.5), ("b", 0.5), ("c", 0.5)]
    assert Composite(methods[1:2]).auxiliary_loss(None) is None
    assert Composite([]).uses_auxiliary_loss is False


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ("finetun", UnknownName, "unknown method 'finetun': did you mean 'finetune'"),
        ({"method": "kickstart", "coeficient": 2}, ConfigError, "method kickstart: .*did you mean 'coefficient'"),
        ({"method": "kickstart", "until": 1.5}, ConfigError, "method kickstart: until: found 1.5"),
        ({"method": "finetune", "freeze": ["tors"]}, ConfigError, "freeze.0: found 'tors'"),
        ({"layers": "all"}, ConfigError, "expected a method, as in"),
    ],
)
def test_a_wrong_entry_gets_one_line(entry, kind, words):
    with pytest.raises(kind, match=words) as caught:
        make_method(entry)
    assert "\n" not in str(caught.value)


def test_no_method_at_all_lists_them():
    with pytest.raises(ConfigError, match=r"expected some of: .*finetune, guide, kickstart, .*shape"):
        compose([])


def test_an_entry_is_spelt_out_for_the_key():
    kickstart = {"method": "kickstart", "coefficient": 1.0, "until": 0.5, "anneal": "linear", "direction": "forward"}
    kickstart |= {"temperature": 1.0, "logit_temperature": 1.0, "value": 0.0, "features": 0.0, "weights": []}
    assert completed("kickstart") == kickstart
    shape = {"method": "shape", "potential": None, "scale": 2.0, "until": None, "potential_source": None}
    assert completed({"method": "shape", "scale": 2}) == shape
