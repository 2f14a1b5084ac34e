"""DQN's regression targets, its loss and gradient at the action values, and whole rounds of its updates."""

from typing import Any

import numpy as np

from agents.compiled.stacks import (
    CHUNK,
    FIRST,
    LAST,
    backward,
    forward,
    give_back_relative,
    output,
    take_in,
    take_relative,
)
from agents.compiled.steps import adam, clip
from envs.compiling import compiled

MOST_NORM, BETA1, BETA2, EPSILON = range(4)
"""Places in the array of settings."""


@compiled
def look(net: Any, inputs: Any, rows: Any, q_values: Any) -> None:
    """Action values (n, n_actions) of some rows."""
    params, layers, stacks, relative, bases, work = net
    x, active, counts = inputs[6], inputs[7], inputs[8]
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], 0)
        stack = stacks[0]
        forward(params, layers, stack, x, active, counts, relative, bases, work, 0, c, stack[FIRST], stack[LAST])
        q_values[s : s + c] = output(layers, stacks[0], work, counts.size, 0, c)


@compiled
def aim(net: Any, inputs: Any, transitions: Any, rows: Any, discount: float, ahead: Any, aims: Any) -> int:
    """Regression targets (n,) of some transitions: y = r + γ (1 - terminated) max_a Q_target(s', a), Mnih et al. 2015.

    Args:
        net, inputs: the target network, and what it sees after the transitions.
        transitions: actions int64, rewards, ends and time limits float32, each (n,).
        rows: 0 to n - 1.
        discount: γ.
        ahead: what is added to Q_target(s', a), (n, n_actions), or empty.
        aims: the results.

    Returns:
        How many of the actions are none that the network knows.
    """
    params, layers, stacks, relative, bases, work = net
    x, active, counts = inputs[6], inputs[7], inputs[8]
    actions, rewards, ends, limits = transitions
    gamma, unknown = np.float32(discount), 0
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], 0)
        stack = stacks[0]
        forward(params, layers, stack, x, active, counts, relative, bases, work, 0, c, stack[FIRST], stack[LAST])
        following = output(layers, stacks[0], work, counts.size, 0, c)
        for i in range(c):
            r = rows[s + i]
            if ahead.size > 0:
                for j in range(following.shape[1]):
                    following[i, j] += ahead[r, j]
            best = following[i, 0]
            for j in range(1, following.shape[1]):
                best = max(best, following[i, j])
            goes_on = np.float32(1) - ends[r] * (np.float32(1) - limits[r])
            aims[r] = rewards[r] + goes_on * gamma * best
            unknown += not 0 <= actions[r] < following.shape[1]
    return unknown


@compiled
def head(q_values: Any, actions: Any, aims: Any, batch: int, d: Any) -> float:
    """The smooth L1 loss of c rows of a minibatch, summed, and the gradient of its mean at action values (c, n)."""
    whole = np.float32(1.0 / batch)
    loss = 0.0
    for i in range(actions.size):
        for j in range(d.shape[1]):
            d[i, j] = 0
        error = q_values[i, actions[i]] - aims[i]
        size = abs(error)
        loss += float(0.5 * error * error if size < 1 else size - 0.5)
        d[i, actions[i]] = min(max(error, np.float32(-1)), np.float32(1)) * whole
    return loss


@compiled
def begin(net: Any, moments: Any, inputs: Any, rows: Any) -> None:
    """The outputs of a minibatch's rows, all of which stay in `work`; the gradient is 0."""
    params, layers, stacks, relative, bases, work = net
    grad, positions, x, active, counts = moments[0], inputs[2], inputs[6], inputs[7], inputs[8]
    for j in range(grad.size):
        grad[j] = 0
    if active.shape[1] > 0:
        take_relative(params, layers, stacks, positions, relative, bases)
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], s)
        stack = stacks[0]
        forward(params, layers, stack, x, active, counts, relative, bases, work, s, c, stack[FIRST], stack[LAST])


@compiled
def propagate(net: Any, moments: Any, inputs: Any, actions: Any, aims: Any, others: Any) -> float:
    """The smooth L1 loss of a minibatch; the gradient is that of this loss and of another.

    Args:
        net, moments, inputs: of the network that learns; `begin` was called with the minibatch's rows.
        actions, aims: (n,).
        others: the other loss's gradient at the action values (n, n_actions), or empty where there is none.
    """
    params, layers, stacks, _, _, work = net
    grad, _, _, _, _, _, delta, spare, product = moments
    positions, x, active, counts = inputs[2], inputs[6], inputs[7], inputs[8]
    loss = 0.0
    for s in range(0, actions.size, CHUNK):
        c = min(CHUNK, actions.size - s)
        q_values = output(layers, stacks[0], work, counts.size, s, c)
        n = q_values.shape[1]
        d = delta[: c * n].reshape(c, n)
        loss += head(q_values, actions[s : s + c], aims[s : s + c], actions.size, d)
        if others.size > 0:
            for i in range(c):
                for j in range(n):
                    d[i, j] += others[s + i, j]
        backward(params, layers, stacks[0], x, active, counts, work, delta, spare, product, grad, s, c)
    if active.shape[1] > 0:
        give_back_relative(grad, layers, stacks, positions)
    return float(loss / actions.size)


@compiled
def step(params: Any, moments: Any, settings: Any) -> None:
    """Clip the gradient and let Adam take one step."""
    grad, first, second, tensors, rates, taken, _, _, _ = moments
    clip(grad, tensors, settings[MOST_NORM])
    adam(params, grad, first, second, tensors, rates, taken, settings[BETA1], settings[BETA2], settings[EPSILON])


@compiled
def learn(
    net: Any, moments: Any, inputs: Any, actions: Any, aims: Any, rows: Any, batch_size: int, settings: Any, losses: Any
) -> None:
    """A step for each minibatch of n transitions, in the order of their rows: 0 to n - 1.

    Args:
        net, moments, inputs: of the network that learns.
        actions, aims, rows: (n,).
        losses: the loss of each minibatch, the results.
    """
    none = np.zeros((0, 0), np.float32)
    for k in range(losses.size):
        some = slice(k * batch_size, (k + 1) * batch_size)
        begin(net, moments, inputs, rows[some])
        losses[k] = propagate(net, moments, inputs, actions[some], aims[some], none)
        step(net[0], moments, settings)
