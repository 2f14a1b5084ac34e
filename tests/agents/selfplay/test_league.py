"""The league by its rules: who is drawn, who is kept, what is counted."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from agents.algorithms import resolve
from agents.build import build_network, tensors_of
from agents.networks import architecture
from agents.policy import Policy
from agents.selfplay.league import (
    DECAY,
    League,
    LeagueRules,
    Snapshot,
    parse_league,
    prioritised,
    thinned,
)
from agents.selfplay.pools import LearningPool, learning_pool
from envs.errors import ConfigError
from envs.task import Task
from envs.vector import interface, make_vec

TASK = Task(game="headstart/TicTacToe-v0")


@pytest.fixture
def learner() -> Policy:
    hyperparameters = resolve(TASK, "ppo", {"net_arch": [4]})
    known = interface(make_vec(TASK))
    described = architecture(hyperparameters)
    network = build_network("ppo", described, known)
    return Policy(network, known, "ppo", described, hyperparameters, TASK)


def nudge(policy: Policy, by: float = 0.1) -> None:
    for parameter in policy.network.parameters():
        parameter.data += by


def filled(learner: Policy, rules: LeagueRules, steps: list[int]) -> League:
    league = League(rules, learner, every=1)
    for step in steps:
        league.refresh(step, ())
    return league


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ("league", LeagueRules()),
        ("league:pfsp", LeagueRules(rule="pfsp")),
        ("league:latest=0.8, capacity=40", LeagueRules(latest=0.8, capacity=40)),
        ("league:pfsp,every=5000", LeagueRules(rule="pfsp", every=5000)),
    ],
)
def test_the_words_of_a_league(spec: str, rules: LeagueRules) -> None:
    assert parse_league(spec) == rules


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("league:psfp", "found 'psfp'"),
        ("league:latest=2", "less than or equal to 1"),
        ("league:capacity=1", "expected at least 2"),
        ("league:evry=3", "did you mean 'every'"),
        ("league:", "expected league, league:pfsp"),
        ("league:pfsp,", "expected league, league:pfsp"),
    ],
)
def test_words_that_make_no_league(spec: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_league(spec)


def test_snapshots_come_every_so_many_steps(learner: Policy) -> None:
    league = League(LeagueRules(), learner, every=100)
    for step in range(0, 501, 64):
        league.refresh(step, ())
    assert [snapshot.step for snapshot in league.slots] == [0, 128, 256, 320, 448]


def test_a_snapshot_is_a_copy_of_the_weights(learner: Policy) -> None:
    league = filled(learner, LeagueRules(), [0])
    before = {name: tensor.clone() for name, tensor in tensors_of(learner.network).items()}
    nudge(learner)
    for name, tensor in league.slots[0].weights.items():
        assert (tensor == before[name]).all()
    playing = tensors_of(league.players[0].policy.network)
    assert all((tensor == before[name]).all() for name, tensor in playing.items())


def test_the_latest_has_its_share_and_the_rest_are_equally_likely(learner: Policy) -> None:
    league = filled(learner, LeagueRules(latest=0.4), [0, 1, 2])
    generator = np.random.default_rng(0)
    drawn = [league.draw(generator) for _ in range(6000)]
    counts = [drawn.count(slot) for slot in (None, 0, 1, 2)]
    assert stats.chisquare(counts, [2400, 1200, 1200, 1200]).pvalue > 0.001


def test_prioritised_fictitious_self_play_by_hand() -> None:
    """(1 − x)² at win rates ½, ¾ and 1: 1/4, 1/16, 0, hence 4/5, 1/5 and never."""
    np.testing.assert_allclose(prioritised(np.array([0.5, 0.75, 1.0])), [0.8, 0.2, 0.0])
    np.testing.assert_allclose(prioritised(np.ones(4)), [0.25] * 4)


def test_who_is_lost_to_is_drawn_more_often(learner: Policy) -> None:
    league = filled(learner, LeagueRules(rule="pfsp", latest=0), [0, 1])
    for _ in range(30):
        league.slots[0].book(1.0)
        league.slots[1].book(-1.0)
    generator = np.random.default_rng(0)
    drawn = [league.draw(generator) for _ in range(2000)]
    expected = prioritised(np.array([league.slots[0].win_rate, league.slots[1].win_rate]))
    assert expected[1] > 0.95
    assert stats.binomtest(drawn.count(1), 2000, expected[1]).pvalue > 0.001


def test_win_rates_are_counted_with_a_prior_and_fade() -> None:
    snapshot = Snapshot(0, {})
    assert snapshot.win_rate == 0.5
    snapshot.book(1.0)
    assert snapshot.win_rate == (1 + 1) / (1 + 2)
    snapshot.book(0.0)
    assert snapshot.win_rate == pytest.approx((DECAY + 0.5 + 1) / (DECAY + 1 + 2))
    for _ in range(1000):
        snapshot.book(-1.0)
    assert snapshot.games == pytest.approx(1 / (1 - DECAY), rel=1e-3)
    assert snapshot.win_rate < 0.03


def test_who_goes_when_there_is_no_room() -> None:
    """Of 0, 10, 20, 22, 40 the neighbours of 20 are 12 apart and those of 22 twenty: 20 goes."""
    held = list(enumerate([0, 10, 20, 22, 40]))
    assert thinned(held, 5) is None
    assert thinned(held, 4) == 2
    assert thinned(list(enumerate([0, 1, 2, 3, 4])), 4) == 1


def test_the_past_is_kept_evenly(learner: Policy) -> None:
    league = filled(learner, LeagueRules(capacity=5), list(range(33)))
    steps = [league.slots[slot].step for slot in league.kept]
    assert steps[0] == 0
    assert steps[-1] == 32
    assert max(np.diff(steps)) <= 16
    assert len(steps) == 5
    assert len(league.slots) <= 6


def test_a_snapshot_in_play_keeps_its_slot_until_nobody_plays_it(learner: Policy) -> None:
    league = filled(learner, LeagueRules(capacity=2), [0, 1])
    league.refresh(2, {1})
    assert not league.slots[1].kept
    assert league.slots[1].step == 1
    league.refresh(3, {1})
    assert league.slots[1].step == 1
    league.refresh(4, ())
    assert league.slots[1].step == 4


def test_a_league_goes_on_from_its_state(learner: Policy) -> None:
    league = filled(learner, LeagueRules(rule="pfsp", latest=0.2, capacity=3), [0, 1, 2])
    nudge(learner)
    league.refresh(3, {1})
    league.slots[2].book(-1.0)
    other = League(league.rules, learner, every=1)
    other.refresh(0, ())
    other.restore(league.state())
    assert [vars(slot).keys() for slot in other.slots] == [vars(slot).keys() for slot in league.slots]
    np.testing.assert_array_equal(other.chances(), league.chances())
    ours, theirs = np.random.default_rng(1), np.random.default_rng(1)
    assert [league.draw(ours) for _ in range(50)] == [other.draw(theirs) for _ in range(50)]
    for one, two in zip(league.players, other.players, strict=True):
        assert one.name == two.name
        for name, tensor in tensors_of(one.policy.network).items():
            assert (tensor == tensors_of(two.policy.network)[name]).all()


def mixed(learner: Policy, specs: list[str], tmp_path: Path) -> LearningPool:
    return learning_pool(specs, learner, steps=400, root=tmp_path)


def test_a_mixed_pool_gives_every_entry_its_share(learner: Policy, tmp_path: Path) -> None:
    pool = mixed(learner, ["league:latest=0.5", "random", "self"], tmp_path)
    assert [opponent.name for opponent in pool.opponents] == ["self", "random", "self", "league at step 0"]
    generator = np.random.default_rng(0)
    drawn = np.bincount([pool.draw(generator) for _ in range(6000)], minlength=4)
    assert stats.chisquare(drawn, [1000, 2000, 2000, 1000]).pvalue > 0.001


def test_a_pool_books_games_with_the_right_snapshot(learner: Policy, tmp_path: Path) -> None:
    pool = mixed(learner, ["random", "league"], tmp_path)
    pool.refresh(10, ())
    pool.ended(0, 1.0)
    pool.ended(1, 1.0)
    pool.ended(3, -1.0)
    assert pool.league is not None
    assert [snapshot.games for snapshot in pool.league.slots] == [0, 1]


def test_the_learner_as_it_is_now_is_that_of_the_last_refresh(learner: Policy, tmp_path: Path) -> None:
    pool = mixed(learner, ["self"], tmp_path)
    before = [tensor.clone() for tensor in tensors_of(pool.now.policy.network).values()]
    nudge(learner)
    assert all((a == b).all() for a, b in zip(before, tensors_of(pool.now.policy.network).values(), strict=True))
    pool.refresh(5)
    pairs = zip(tensors_of(learner.network).values(), tensors_of(pool.now.policy.network).values(), strict=True)
    assert all((a == b).all() for a, b in pairs)


def test_a_league_takes_a_fortieth_of_the_budget(learner: Policy, tmp_path: Path) -> None:
    league = mixed(learner, ["league"], tmp_path).league
    assert league is not None
    assert league.every == 10


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        (["league", "league:pfsp"], "found 2 leagues"),
        (["self:latest"], "expected 'self'|changes as the learner does"),
        (["run:"], "names no run"),
        (["run:0123"], "unknown run '0123'"),
        (["rnadom"], "did you mean 'random'"),
        ([], "expected one or more"),
    ],
)
def test_opponents_that_cannot_be_had(learner: Policy, tmp_path: Path, specs: list[str], words: str) -> None:
    with pytest.raises(Exception, match=words):
        mixed(learner, specs, tmp_path)
