"""PPO's loss and its gradient at the heads, and whole epochs of its update."""

from typing import Any

import numpy as np

from agents.compiled.stacks import (
    CHUNK,
    FIRST,
    LAST,
    backward,
    clear,
    forward,
    forward_from,
    give_back_relative,
    output,
    reads,
    take_in,
    take_relative,
)
from agents.compiled.steps import adam, clip
from envs.compiling import compiled

POLICY, VALUE, ENTROPY, CLIPPED, DIVERGENCE, TOTAL = range(6)
"""Columns of what is logged of a minibatch."""
(RANGE, RANGE_VALUE, ENTROPY_WEIGHT, VALUE_WEIGHT, NORMALISE, MOST_NORM, BETA1, BETA2, EPSILON, MOST_DIVERGENCE) = (
    range(10)
)
"""Places in the array of settings; RANGE_VALUE and MOST_DIVERGENCE are NaN where there is none."""


@compiled(inner=True)
def rule_out(logits: Any, masks: Any, rows: Any) -> None:
    """Logits (c, n) of these rows' illegal actions at -1e8, in place; masks (n_rows, n) are empty where all are legal.

    Their probabilities are exactly 0 then, and so are their share of the entropy and their gradient.
    """
    if masks.shape[0] == 0:
        return
    for i in range(rows.size):
        row, mask = logits[i], masks[rows[i]]
        for j in range(row.size):
            if mask[j] == 0:
                row[j] = np.float32(-1e8)


@compiled(inner=True)
def log_softmax(logits: Any, out: Any) -> None:
    """Of each row of (c, n)."""
    for i in range(logits.shape[0]):
        row, o = logits[i], out[i]
        most = row[0]
        for j in range(1, row.size):
            most = max(most, row[j])
        total = np.float32(0)
        for j in range(row.size):
            total += np.exp(row[j] - most)
        total = most + np.log(total)
        for j in range(row.size):
            o[j] = row[j] - total


@compiled(inner=True)
def heads(
    log_probs: Any,
    values: Any,
    rows: Any,
    actions: Any,
    old_values: Any,
    old_log_probs: Any,
    advantages: Any,
    returns: Any,
    shift: float,
    factor: float,
    batch: int,
    settings: Any,
    d_logits: Any,
    d_values: Any,
    terms: Any,
) -> None:
    """PPO's loss of c rows of a minibatch, added to `terms`, and its gradient at logits (c, n) and values (c, 1).

    L = -mean(min(r·A, clip(r)·A)) + c_H·mean(-H) + c_V·mean((V - R)²), Schulman et al. 2017, equations 7 and 9.
    Advantages are (A - shift)·factor.
    """
    whole = np.float32(1.0 / batch)
    low, high = np.float32(1 - settings[RANGE]), np.float32(1 + settings[RANGE])
    value_range, value_weight = np.float32(settings[RANGE_VALUE]), np.float32(settings[VALUE_WEIGHT])
    entropy_weight = np.float32(settings[ENTROPY_WEIGHT])
    clips_values = not np.isnan(settings[RANGE_VALUE])
    for i in range(rows.size):
        r = rows[i]
        lp, d = log_probs[i], d_logits[i]
        n = lp.size
        action = actions[r]
        advantage = np.float32((advantages[r] - shift) * factor)
        log_ratio = lp[action] - old_log_probs[r]
        ratio = np.exp(log_ratio)
        plain, clipped = advantage * ratio, advantage * min(max(ratio, low), high)
        terms[POLICY] -= min(plain, clipped)
        inside = low <= ratio <= high
        slope = -plain * whole if inside or plain < clipped else np.float32(0)
        entropy = np.float32(0)
        for j in range(n):
            p = np.exp(lp[j])
            d[j] = p
            entropy -= p * lp[j]
        for j in range(n):
            p = d[j]
            d[j] = -slope * p + entropy_weight * whole * p * (lp[j] + entropy)
        d[action] += slope
        terms[ENTROPY] -= entropy
        terms[CLIPPED] += 1.0 if abs(ratio - np.float32(1)) > settings[RANGE] else 0.0
        terms[DIVERGENCE] += ratio - np.float32(1) - log_ratio
        value = values[i, 0]
        d_value = np.float32(1)
        if clips_values:
            change = value - old_values[r]
            if abs(change) > value_range:
                d_value = np.float32(0)
            value = old_values[r] + min(max(change, -value_range), value_range)
        error = value - returns[r]
        terms[VALUE] += error * error
        d_values[i, 0] = value_weight * np.float32(2) * error * whole * d_value


@compiled(fast=True, inner=True)
def spread_of(advantages: Any, rows: Any) -> tuple[float, float]:
    """Mean, and 1 / (standard deviation + 1e-8), of some advantages."""
    total = 0.0
    for i in range(rows.size):
        total += advantages[rows[i]]
    mean = total / rows.size
    squares = 0.0
    for i in range(rows.size):
        squares += (advantages[rows[i]] - mean) ** 2
    return mean, 1.0 / (np.sqrt(squares / (rows.size - 1)) + 1e-8)


@compiled
def act(net: Any, inputs: Any, rows: Any, noise: Any, actions: Any, values: Any, log_probs: Any, greedy: bool) -> None:
    """Actions (n,), state values (n,) and log-probabilities (n,) of some rows.

    An action is the one with the largest p / noise, `noise` (n, n_actions) being exponential variates: a draw from p.
    """
    params, layers, stacks, relative, bases, work = net
    _, _, _, _, _, _, x, active, counts, masks = inputs
    capacity = counts.size
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], 0)
        for k in range(2):
            stack = stacks[k]
            forward(params, layers, stack, x, active, counts, relative, bases, work, 0, c, stack[FIRST], stack[LAST])
        logits = output(layers, stacks[0], work, capacity, 0, c)
        critic = output(layers, stacks[1], work, capacity, 0, c)
        rule_out(logits, masks, rows[s : s + c])
        log_softmax(logits, logits)
        for i in range(c):
            best, most = 0, np.float32(-np.inf)
            for j in range(logits.shape[1]):
                v = logits[i, j] if greedy else np.exp(logits[i, j]) / noise[s + i, j]
                if v > most:
                    best, most = j, v
            actions[s + i], log_probs[s + i], values[s + i] = best, logits[i, best], critic[i, 0]


@compiled
def look(net: Any, inputs: Any, rows: Any, log_probs: Any, values: Any) -> None:
    """Log-probabilities (n, n_actions) and state values (n,) of some rows."""
    params, layers, stacks, relative, bases, work = net
    x, active, counts = inputs[6], inputs[7], inputs[8]
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], 0)
        for k in range(2):
            stack = stacks[k]
            forward(params, layers, stack, x, active, counts, relative, bases, work, 0, c, stack[FIRST], stack[LAST])
        logits = output(layers, stacks[0], work, counts.size, 0, c)
        rule_out(logits, inputs[9], rows[s : s + c])
        log_softmax(logits, log_probs[s : s + c])
        critic = output(layers, stacks[1], work, counts.size, 0, c)
        for i in range(c):
            values[s + i] = critic[i, 0]


@compiled(inner=True)
def descend(
    net: Any,
    moments: Any,
    inputs: Any,
    rollout: Any,
    some: Any,
    s: int,
    shift: float,
    factor: float,
    batch: int,
    settings: Any,
    d_logits: Any,
    d_values: Any,
    terms: Any,
) -> None:
    """Add to the gradient what `some` rows of the rollout give, rows s to s + len(some) of a minibatch of size `batch`.

    d_logits, d_values: the gradient of another loss of the whole minibatch, (n, n_actions) and (n,), or empty.
    """
    params, layers, stacks, _, _, work = net
    grad, _, _, _, _, _, delta, spare, product = moments
    x, active, counts, masks = inputs[6], inputs[7], inputs[8], inputs[9]
    actions, old_values, old_log_probs, advantages, returns = rollout
    c = some.size
    logits = output(layers, stacks[0], work, counts.size, s, c)
    values = output(layers, stacks[1], work, counts.size, s, c)
    rule_out(logits, masks, some)
    log_softmax(logits, logits)
    n = logits.shape[1]
    d, d_value = delta[: c * n].reshape(c, n), np.empty((c, 1), np.float32)
    heads(
        logits,
        values,
        some,
        actions,
        old_values,
        old_log_probs,
        advantages,
        returns,
        shift,
        factor,
        batch,
        settings,
        d,
        d_value,
        terms,
    )
    if d_values.size > 0:
        for i in range(c):
            for j in range(n):
                d[i, j] += d_logits[s + i, j]
            d_value[i, 0] += d_values[s + i]
    backward(params, layers, stacks[0], x, active, counts, work, delta, spare, product, grad, s, c)
    for i in range(c):
        delta[i] = d_value[i, 0]
    backward(params, layers, stacks[1], x, active, counts, work, delta, spare, product, grad, s, c)


@compiled
def epoch(
    net: Any,
    moments: Any,
    inputs: Any,
    kept: Any,
    rollout: Any,
    order: Any,
    batch_size: int,
    settings: Any,
    logged: Any,
) -> int:
    """All minibatches of one epoch, rows in the order given. The steps taken: fewer if the divergence ends it.

    `kept` (n_rows, n) is what `stacks.keep` kept, or empty. `logged` (n_minibatches, 6) gets the means of each
    minibatch.
    """
    params, layers, stacks, relative, bases, _ = net
    grad, first, second, tensors, rates, taken = moments[:6]
    positions, active, advantages = inputs[2], inputs[7], rollout[3]
    nothing, none = np.empty((0, 0), np.float32), np.empty(0, np.float32)
    done, looks = 0, reads(stacks, kept)
    for start in range(0, order.size, batch_size):
        rows = order[start : start + batch_size]
        shift, factor = 0.0, 1.0
        if settings[NORMALISE] != 0 and rows.size > 1:
            shift, factor = spread_of(advantages, rows)
        clear(grad, layers)
        terms = logged[start // batch_size]
        for j in range(terms.size):
            terms[j] = 0
        if looks and active.shape[1] > 0:
            take_relative(params, layers, stacks, positions, relative, bases)
        for s in range(0, rows.size, CHUNK):
            some = rows[s : s + CHUNK]
            c = some.size
            if looks:
                take_in(inputs, some, 0)
            for k in range(2):
                forward_from(net, inputs, kept, some, k, 0, c)
            descend(net, moments, inputs, rollout, some, 0, shift, factor, rows.size, settings, nothing, none, terms)
        average(terms, rows.size, settings)
        if terms[DIVERGENCE] > settings[MOST_DIVERGENCE]:
            return done
        if active.shape[1] > 0:
            give_back_relative(grad, layers, stacks, positions)
        clip(grad, tensors, settings[MOST_NORM])
        adam(params, grad, first, second, tensors, rates, taken, settings[BETA1], settings[BETA2], settings[EPSILON])
        done += 1
    return done


@compiled(inner=True)
def average(terms: Any, size: int, settings: Any) -> None:
    """Sums over a minibatch of `size` to means, and their weighted total."""
    for j in range(terms.size):
        terms[j] /= size
    terms[TOTAL] = terms[POLICY] + settings[ENTROPY_WEIGHT] * terms[ENTROPY] + settings[VALUE_WEIGHT] * terms[VALUE]


@compiled
def begin(net: Any, moments: Any, inputs: Any, kept: Any, rows: Any) -> None:
    """The outputs of a minibatch's rows, all of which stay in `work`; the gradient is 0."""
    params, layers, stacks, relative, bases, _ = net
    grad = moments[0]
    positions, active = inputs[2], inputs[7]
    clear(grad, layers)
    looks = reads(stacks, kept)
    if looks and active.shape[1] > 0:
        take_relative(params, layers, stacks, positions, relative, bases)
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        if looks:
            take_in(inputs, rows[s : s + c], s)
        for k in range(2):
            forward_from(net, inputs, kept, rows[s : s + c], k, s, c)


@compiled
def propagate(
    net: Any,
    moments: Any,
    inputs: Any,
    rollout: Any,
    rows: Any,
    settings: Any,
    terms: Any,
    d_logits: Any,
    d_values: Any,
) -> None:
    """The gradient of PPO's loss of a minibatch and of another loss with the gradients d_logits and d_values (n, ·).

    `begin` was called with the same rows, and nothing has changed since.
    """
    layers, stacks, grad = net[1], net[2], moments[0]
    positions, active = inputs[2], inputs[7]
    shift, factor = 0.0, 1.0
    if settings[NORMALISE] != 0 and rows.size > 1:
        shift, factor = spread_of(rollout[3], rows)
    for j in range(terms.size):
        terms[j] = 0
    for s in range(0, rows.size, CHUNK):
        some = rows[s : s + CHUNK]
        descend(net, moments, inputs, rollout, some, s, shift, factor, rows.size, settings, d_logits, d_values, terms)
    average(terms, rows.size, settings)
    if active.shape[1] > 0:
        give_back_relative(grad, layers, stacks, positions)


@compiled
def step(params: Any, moments: Any, settings: Any) -> None:
    """Clip the gradient and let Adam take one step."""
    grad, first, second, tensors, rates, taken, _, _, _ = moments
    clip(grad, tensors, settings[MOST_NORM])
    adam(params, grad, first, second, tensors, rates, taken, settings[BETA1], settings[BETA2], settings[EPSILON])


@compiled
def estimate(
    rewards: Any,
    values: Any,
    starts: Any,
    last_values: Any,
    ended: Any,
    gamma: float,
    decay: float,
    advantages: Any,
    returns: Any,
) -> None:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16) and the returns it goes with.

    Args:
        rewards, values, starts: (n_steps, n_envs) float32; starts is 1 where an episode begins.
        last_values, ended: (n_envs,), of what follows the last step.
        gamma, decay: γ and λ.
        advantages, returns: (n_steps, n_envs), the results.
    """
    g, gd = np.float32(gamma), np.float32(gamma * decay)
    running = np.zeros(rewards.shape[1], np.float32)
    for t in range(rewards.shape[0] - 1, -1, -1):
        last = t == rewards.shape[0] - 1
        for e in range(rewards.shape[1]):
            goes_on = np.float32(1) - (np.float32(ended[e]) if last else starts[t + 1, e])
            following = last_values[e] if last else values[t + 1, e]
            delta = rewards[t, e] + g * following * goes_on - values[t, e]
            running[e] = delta + gd * goes_on * running[e]
            advantages[t, e] = running[e]
            returns[t, e] = running[e] + values[t, e]
