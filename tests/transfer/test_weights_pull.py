"""L2-SP, EWC and shrink-and-perturb: their formulas, and how they sit in every learner's update."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.auxiliary import attach
from agents.config import RunConfig
from agents.outputs import Batch
from agents.parts import of_part, parts
from envs.errors import ConfigError
from envs.interface import Interface
from tests.transfer.teachers import CARTPOLE, SHORT, context, learner_of, make_teacher, unnamed
from transfer.fisher import diagonal_fisher, visited
from transfer.mapping import Mapping
from transfer.method import Crossing, compose
from transfer.methods.pulling import Pull, Pulling

FINETUNE = {"method": "finetune"}


def run_of(algorithm="ppo", task=SHORT, **more):
    run = context(task, algorithm=algorithm, source=algorithm.removeprefix("sb3-"), **more)
    return replace(run, teacher=replace(run.teacher, task=task))


def moved(learner, by=0.1, seed=5):
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in learner.policy.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=draw))


# L2-SP


def test_the_penalty_and_its_gradient_are_those_of_the_paper():
    """α/2·‖w − w⁰‖² on what was carried, β/2·‖w‖² on what is new; by hand."""
    methods = compose([{**FINETUNE, "layers": "torso"}, {"method": "l2sp", "alpha": 0.3, "beta": 0.7}])
    learner = learner_of(methods, run_of())
    start = {name: p.detach().clone() for name, p in learner.policy.named_parameters()}
    moved(learner)
    loss = methods.auxiliary_loss(Batch(learner.policy, torch.zeros(1, 4)))
    loss.backward()
    torso = {id(p) for p in of_part(learner.policy, "torso")}
    expected = 0.0
    for name, parameter in learner.policy.named_parameters():
        away = parameter.detach() - start[name] if id(parameter) in torso else parameter.detach()
        factor = 0.3 if id(parameter) in torso else 0.7
        expected += factor / 2 * away.square().sum().item()
        torch.testing.assert_close(parameter.grad, factor * away)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_number_is_an_anchor_too_and_frozen_weights_are_not_pulled():
    layer = torch.nn.Linear(2, 1)
    pulls = [Pull(p, torch.zeros(()), torch.tensor(2.0)) for p in layer.parameters()]
    layer.bias.requires_grad_(False)
    loss = Pulling(layer, pulls).loss(Batch(layer, torch.zeros(1)))
    assert loss.item() == pytest.approx(layer.weight.square().sum().item(), rel=1e-5)
    layer.weight.requires_grad_(False)
    assert Pulling(layer, pulls).loss(Batch(layer, torch.zeros(1))) is None


@pytest.mark.parametrize(
    ("ours", "peer", "settings"),
    [
        ("ppo", "sb3-ppo", {"n_steps": 32, "batch_size": 16, "n_epochs": 3, "max_grad_norm": 0.05}),
        ("dqn", "sb3-dqn", {"learning_starts": 20, "batch_size": 16, "gradient_steps": 2, "max_grad_norm": 0.05}),
    ],
)
@pytest.mark.parametrize("freeze", [[], ["torso"]], ids=["everything learns", "frozen torso"])
def test_the_pull_is_the_same_in_compiled_code_and_in_sb3s_update(ours, peer, settings, freeze):
    """Clipping bites, so that the order of adding and clipping shows."""
    weights = {}
    for name in (ours, peer):
        methods = compose([{**FINETUNE, "freeze": freeze}, {"method": "l2sp", "alpha": 5.0}])
        learner = learner_of(methods, run_of(name, **settings))
        moved(learner)
        attach(learner, methods.auxiliary_loss)
        assert getattr(learner, "_compiled", lambda: None)() is not None or name == peer
        learner.learn(192)
        weights[name] = learner.policy.state_dict()
    for key, value in weights[ours].items():
        torch.testing.assert_close(value, weights[peer][key], rtol=1e-5, atol=2e-5, msg=key)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
def test_a_strong_pull_holds_the_weights(algorithm):
    gone = []
    for by in ([FINETUNE], [FINETUNE, {"method": "l2sp", "alpha": 100.0}]):
        methods = compose(by)
        learner = learner_of(methods, run_of(algorithm, **({"learning_starts": 10} if algorithm == "dqn" else {})))
        start = [p.detach().clone() for p in learner.policy.parameters()]
        if methods.uses_auxiliary_loss:
            attach(learner, methods.auxiliary_loss)
        learner.learn(192)
        gone.append(
            sum(float((p.detach() - q).square().sum()) for p, q in zip(learner.policy.parameters(), start, strict=True))
        )
    assert 0 < gone[1] < gone[0] / 2


# EWC


def exact(network, observations, temperature=1.0):
    """F by its definition, one observation and one action at a time."""
    named = dict(network.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in named.items()}
    for seen in observations:
        head = network.q_net(seen[None]) if hasattr(network, "q_net") else None
        logits = network.get_distribution(seen[None]).distribution.logits if head is None else head / temperature
        log_probs = torch.log_softmax(logits[0], dim=-1)
        for action in range(len(log_probs)):
            found = torch.autograd.grad(log_probs[action], named.values(), retain_graph=True, allow_unused=True)
            for name, gradient in zip(named, found, strict=True):
                if gradient is not None:
                    total[name] += log_probs[action].exp().detach() * gradient.square()
    return {name: value / len(observations) for name, value in total.items()}


@pytest.mark.parametrize(("algorithm", "temperature"), [("ppo", 1.0), ("dqn", 1.0), ("dqn", 3.0)])
def test_the_fisher_information_is_the_exact_expectation(algorithm, temperature):
    known = unnamed(spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(3))
    architecture = {"net_arch": [4], "activation": "tanh", "normalise_observations": False}
    teacher = make_teacher(algorithm, known, architecture)
    seen = torch.randn(70, 3, generator=torch.Generator().manual_seed(0))  # more than a chunk
    found, expected = diagonal_fisher(teacher.network, seen, temperature), exact(teacher.network, seen, temperature)
    assert any("policy_net" in name or "q_net" in name for name in found)
    assert not any("value" in name or "target" in name for name in found)
    for name, value in expected.items():
        torch.testing.assert_close(found.get(name, torch.zeros_like(value)), value, rtol=1e-4, atol=1e-7, msg=name)


def test_of_one_observation_and_a_softmax_it_is_known_in_closed_form():
    """Of logits b: F_bb = π_b(1 − π_b)."""
    known = unnamed(spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(4))
    teacher = make_teacher("ppo", known, {"net_arch": [], "normalise_observations": False})
    seen = torch.zeros(1, 2)
    policy = teacher.outputs(seen).head.softmax(dim=-1)[0]
    found = diagonal_fisher(teacher.network, seen)
    torch.testing.assert_close(found["action_net.bias"], policy * (1 - policy))


@pytest.mark.parametrize("algorithm", ["a2c", "sac"])
def test_of_a_gaussian_it_agrees_with_drawn_actions(algorithm):
    known = Interface(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32))
    architecture = {"net_arch": [3], "normalise_observations": False}
    teacher = make_teacher(algorithm, known, architecture)
    network = teacher.network
    seen = torch.randn(1, 3, generator=torch.Generator().manual_seed(1))
    found = diagonal_fisher(network, seen)
    draw = torch.Generator().manual_seed(2)
    named = {name: dict(network.named_parameters())[name] for name in found}
    from agents.outputs import policy_outputs

    outputs = policy_outputs(network, seen)
    n = 4000
    noise = torch.randn(n, 2, generator=draw)
    actions = (outputs.head + outputs.log_std.exp() * noise).detach()
    log_prob = torch.distributions.Normal(outputs.head, outputs.log_std.exp()).log_prob(actions).sum(dim=1)
    gradients = torch.autograd.grad(log_prob, list(named.values()), torch.eye(n), is_grads_batched=True)
    for (name, value), gradient in zip(found.items(), gradients, strict=True):
        squares = gradient.square()
        error = squares.std(dim=0) / n**0.5
        assert bool(((squares.mean(dim=0) - value).abs() <= 5 * error + 1e-6).all()), name


def test_its_states_come_from_the_source_and_from_the_runs_seed():
    run = run_of()
    before = torch.get_rng_state()
    first, again, other = (visited(run.teacher, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (56, 4)  # whole steps of eight environments


def test_weights_are_held_as_strongly_as_they_matter():
    run = run_of()
    methods = compose([FINETUNE, {"method": "ewc", "coefficient": 3.0, "samples": 64}])
    learner = learner_of(methods, run)
    assert "64 steps of the source" in methods.notes()[-1]
    start = {name: p.detach().clone() for name, p in learner.policy.named_parameters()}
    moved(learner)
    methods.auxiliary_loss(Batch(learner.policy, torch.zeros(1, 4))).backward()
    pulls = {id(pull.parameter): pull for pull in methods.methods[1]._pulling._of["policy"]}
    assert pulls
    for name, parameter in learner.policy.named_parameters():
        if "value" in name:
            assert parameter.grad is None
            continue
        pull = pulls[id(parameter)]
        assert float(pull.strength.max()) > 0
        torch.testing.assert_close(parameter.grad, pull.strength * (parameter.detach() - start[name]))


# Shrink and perturb


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_carried_weights_shrink_towards_a_fresh_initialisation(algorithm):
    run = run_of(algorithm)
    plain = learner_of(compose([FINETUNE]), run)
    made = {}
    for shrink, noise in ((0.5, 0.0), (0.0, 1.0), (0.5, 1.0)):
        methods = compose([FINETUNE, {"method": "perturb", "shrink": shrink, "noise": noise}])
        made[shrink, noise] = learner_of(methods, run)
    for name, parameter in plain.policy.named_parameters():
        shrunk, fresh, both = (dict(one.policy.named_parameters())[name] for one in made.values())
        torch.testing.assert_close(shrunk, 0.5 * parameter)
        torch.testing.assert_close(both, shrunk + fresh)
        assert not torch.equal(fresh, parameter)
    again = learner_of(compose([FINETUNE, {"method": "perturb", "shrink": 0.5, "noise": 1.0}]), run)
    assert all(
        torch.equal(p, q) for p, q in zip(again.policy.parameters(), made[0.5, 1.0].policy.parameters(), strict=True)
    )
    if algorithm == "dqn":
        for one, other in zip(again.q_net.parameters(), again.q_net_target.parameters(), strict=True):
            assert torch.equal(one, other)


def test_normal_noise_has_the_stated_size_and_fresh_heads_stay_as_they_are():
    run = run_of(architecture={"net_arch": [64, 64], "activation": "tanh", "normalise_observations": False})
    finetune = {**FINETUNE, "layers": "torso"}
    plain = learner_of(compose([finetune]), run)
    noisy = learner_of(compose([finetune, {"method": "perturb", "shrink": 1.0, "noise": 0.3, "of": "normal"}]), run)
    ours, theirs = parts(noisy.policy), parts(plain.policy)
    noise = torch.cat([(p - q).detach().ravel() for p, q in zip(ours["torso.1"], theirs["torso.1"], strict=True)])
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    for head in ("action_head", "value_head"):
        assert all(torch.equal(p, q) for p, q in zip(ours[head], theirs[head], strict=True))


# Refusals


@pytest.mark.parametrize("name", ["perturb", "l2sp", "ewc"])
@pytest.mark.parametrize("others", [[], ["kickstart"]])
def test_without_weights_carried_before_it_there_is_nothing_to_act_on(name, others):
    with pytest.raises(ConfigError, match=f"{name} acts on weights that finetune carried.* take finetune.{name}"):
        compose([*others, name])
    with pytest.raises(ConfigError, match="none comes before it"):
        compose([name, "finetune"])
    compose(["finetune", *others, name])


def test_what_contradicts_each_other_is_refused():
    with pytest.raises(ConfigError, match=r"perturb changes the weights that finetune\.optimiser goes on with"):
        compose([{**FINETUNE, "optimiser": True}, "perturb"])
    with pytest.raises(ConfigError, match="alpha and beta are both 0"):
        compose([FINETUNE, {"method": "l2sp", "alpha": 0, "beta": 0}])


def test_ewc_needs_weights_that_correspond_and_a_likelihood():
    methods = compose([FINETUNE, "ewc"])
    config = RunConfig(task=CARTPOLE, algorithm="ppo", steps=1)
    mapping = context().mapping
    methods.check(Crossing(config, config, mapping))
    other = Mapping.between(mapping.source, mapping.target, actions={"left": "right", "right": "left"})
    with pytest.raises(ConfigError, match="their weights do not correspond; expected equal spaces; take l2sp"):
        methods.check(Crossing(config, config, other))
    deterministic = config.model_copy(update={"algorithm": "td3"})
    with pytest.raises(ConfigError, match="td3's policy has none; take l2sp"):
        compose([FINETUNE, "ewc"]).methods[1].check(Crossing(deterministic, deterministic, mapping))
