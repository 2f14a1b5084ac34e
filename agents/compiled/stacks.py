"""Stacks of linear layers and activations, forward and backward, on chunks of rows.

All weights lie in one flat float32 array: of each layer W (n_in, n_out), then b (n_out). What a stack is made of stands
in two integer tables (columns below), so that one compilation serves every depth and width. A stack's input is either
numbers (n_rows, n_in), or symbols, given by the planes that are on: their weights are added up, and no plane that is 0
is ever multiplied.

Where exactly one plane of a position is on (a cell's object, its colour), the commonest symbol of each position is left
out of the lists: W is then taken relative to it, and it is added to the bias. With D the sum of the incoming
gradients over all rows, the gradient of the commonest symbol's weights is D less those of its position's others.
"""

from typing import Any

import numpy as np

from envs.compiling import compiled

CHUNK = 256
"""Rows that go through all layers at once."""

WEIGHTS, N_IN, N_OUT, BIAS, OUTPUT, KIND, LEARNS = range(7)
"""Columns of the table of layers: offsets of W and b among the parameters, widths, offset of the outputs per row of
capacity, activation, whether W or b learns."""
FIRST, LAST, BASE, LOWEST, KEPT = range(5)
"""Columns of the table of stacks: its layers are FIRST to LAST - 1; offset of its first bias among the bases; its
lowest layer that learns, LAST if none does; where what lies below that one stands in a row of kept outputs."""
LINEAR, TANH, RELU = range(3)
"""Kinds of activations."""
OFFSET, STEP, COMMON, HIGHEST = range(4)
"""Rows of the table of positions, int32: the first plane; 1, or 0 for a plane that is one already; the commonest
symbol, or -1 where none is left out; the highest symbol, which any above it is taken for, so that nothing outside the
weights is ever touched."""


@compiled(fast=True)
def activate(values: Any, bias: Any, kind: int) -> None:
    """Add the bias (n,) and apply the activation to (c, n), in place.

    tanh is the rational function of degrees 13 and 6 that Eigen uses, within 3e-7 of it.
    """
    for i in range(values.shape[0]):
        row = values[i]
        if kind == TANH:
            for j in range(row.size):
                v = row[j] + bias[j]
                v = min(max(v, np.float32(-7.905311)), np.float32(7.905311))
                s = v * v
                p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
                p = s * p + np.float32(-8.60467152213735e-11)
                p = s * p + np.float32(5.12229709037114e-08)
                p = s * p + np.float32(1.48572235717979e-05)
                p = s * p + np.float32(6.37261928875436e-04)
                p = s * p + np.float32(4.89352455891786e-03)
                q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
                q = s * q + np.float32(2.26843463243900e-03)
                q = s * q + np.float32(4.89352518554385e-03)
                row[j] = v * p / q
        elif kind == RELU:
            for j in range(row.size):
                row[j] = max(row[j] + bias[j], np.float32(0))
        else:
            for j in range(row.size):
                row[j] += bias[j]


@compiled(fast=True, inner=True)
def chain(delta: Any, outputs: Any, kind: int) -> None:
    """Multiply gradients (c, n) by the activation's derivative, given its outputs (c, n), in place."""
    for i in range(delta.shape[0]):
        row, out = delta[i], outputs[i]
        if kind == TANH:
            for j in range(row.size):
                row[j] *= np.float32(1) - out[j] * out[j]
        elif kind == RELU:
            for j in range(row.size):
                row[j] = row[j] if out[j] > 0 else np.float32(0)


@compiled(fast=True)
def commonest(symbols: Any, positions: Any) -> None:
    """Set each position's commonest symbol among (n_rows, n_positions) uint8. Positions of planes keep 0."""
    counts = np.zeros(256, np.int64)
    for k in range(positions.shape[1]):
        if positions[STEP, k] == 0:
            continue
        for v in range(counts.size):
            counts[v] = 0
        for i in range(symbols.shape[0]):
            counts[min(np.int32(symbols[i, k]), positions[HIGHEST, k])] += 1
        best = 0
        for v in range(counts.size):
            best = v if counts[v] > counts[best] else best
        positions[COMMON, k] = best


@compiled(fast=True, inner=True)
def list_planes(symbols: Any, rows: Any, positions: Any, active: Any, counts: Any) -> None:
    """Which planes of `symbols[rows]` are on: active (c, n_positions) int32, the first counts (c,) of each row."""
    n = positions.shape[1]
    offset, step, common, highest = positions[OFFSET], positions[STEP], positions[COMMON], positions[HIGHEST]
    for i in range(rows.size):
        row, out, found = symbols[rows[i]], active[i], 0
        for k in range(n):
            symbol = min(np.int32(row[k]), highest[k])
            out[found] = offset[k] + step[k] * symbol
            found += symbol != common[k]
        counts[i] = found


@compiled(fast=True, inner=True)
def scale_rows(observations: Any, rows: Any, mean: Any, factor: Any, most: float, x: Any) -> None:
    """x (c, n) = the rows, as numbers; normalised if there are statistics: (o - mean) · factor within ±most."""
    bound = np.float32(most)
    for i in range(rows.size):
        row, out = observations[rows[i]], x[i]
        if mean.size == 0:
            for j in range(out.size):
                out[j] = row[j]
        else:
            for j in range(out.size):
                v = (row[j] - mean[j]) * factor[j]
                out[j] = min(max(v, -bound), bound)


@compiled(inner=True)
def take_in(inputs: Any, rows: Any, s: int) -> None:
    """Rows of the observations as inputs s to s + len(rows) of the stacks."""
    numbers, symbols, positions, mean, factor, most, x, active, counts, _ = inputs
    c = rows.size
    if active.shape[1] > 0:
        list_planes(symbols, rows, positions, active[s : s + c], counts[s : s + c])
    else:
        scale_rows(numbers, rows, mean, factor, most, x[s : s + c])


@compiled(fast=True)
def take_relative(params: Any, layers: Any, stacks: Any, positions: Any, relative: Any, bases: Any) -> None:
    """First layers relative to the commonest symbols (relative, as the parameters), and their biases (bases).

    Where no symbol is left out, `relative` may be the parameters themselves.
    """
    own = relative.ctypes.data != params.ctypes.data
    for s in range(stacks.shape[0]):
        layer = layers[stacks[s, FIRST]]
        n_in, n = layer[N_IN], layer[N_OUT]
        start = layer[WEIGHTS]
        base = bases[stacks[s, BASE] : stacks[s, BASE] + n]
        for j in range(n):
            base[j] = params[layer[BIAS] + j]
        if own:
            for j in range(start, start + n_in * n):
                relative[j] = params[j]
        for k in range(positions.shape[1]):
            if positions[STEP, k] == 0 or positions[COMMON, k] < 0:
                continue
            at = start + (positions[OFFSET, k] + positions[COMMON, k]) * n
            common = params[at : at + n]
            for j in range(n):
                base[j] += common[j]
            end = positions[OFFSET, k + 1] if k + 1 < positions.shape[1] else n_in
            for plane in range(positions[OFFSET, k], end):
                w = relative[start + plane * n : start + (plane + 1) * n]
                for j in range(n):
                    w[j] -= common[j]


@compiled(fast=True, inner=True)
def give_back_relative(grad: Any, layers: Any, stacks: Any, positions: Any) -> None:
    """The gradient of the commonest symbols' weights, from those of all others and of the biases."""
    for s in range(stacks.shape[0]):
        layer = layers[stacks[s, FIRST]]
        if not layer[LEARNS]:
            continue
        n_in, n = layer[N_IN], layer[N_OUT]
        start = layer[WEIGHTS]
        total = grad[layer[BIAS] : layer[BIAS] + n]
        for k in range(positions.shape[1]):
            if positions[STEP, k] == 0 or positions[COMMON, k] < 0:
                continue
            own = positions[OFFSET, k] + positions[COMMON, k]
            end = positions[OFFSET, k + 1] if k + 1 < positions.shape[1] else n_in
            g = grad[start + own * n : start + (own + 1) * n]
            for j in range(n):
                g[j] = total[j]
            for plane in range(positions[OFFSET, k], end):
                if plane != own:
                    other = grad[start + plane * n : start + (plane + 1) * n]
                    for j in range(n):
                        g[j] -= other[j]


@compiled(fast=True, inner=True)
def add_planes(active: Any, counts: Any, weights: Any, base: Any, out: Any) -> None:
    """The first layer's sums: out (c, n) = base + the rows of weights (n_in, n) of the planes that are on."""
    for i in range(out.shape[0]):
        row, planes, n = out[i], active[i], counts[i]
        for j in range(row.size):
            row[j] = base[j]
        k = 0
        while k + 4 <= n:
            a, b = weights[planes[k]], weights[planes[k + 1]]
            c, d = weights[planes[k + 2]], weights[planes[k + 3]]
            for j in range(row.size):
                row[j] += (a[j] + b[j]) + (c[j] + d[j])
            k += 4
        while k < n:
            a = weights[planes[k]]
            for j in range(row.size):
                row[j] += a[j]
            k += 1


@compiled(fast=True, inner=True)
def spread_planes(active: Any, counts: Any, delta: Any, grad: Any) -> None:
    """The gradient of the first layer's weights: each row of delta (c, n) to the planes that are on."""
    for i in range(delta.shape[0]):
        row, planes = delta[i], active[i]
        for k in range(counts[i]):
            g = grad[planes[k]]
            for j in range(row.size):
                g[j] += row[j]


@compiled(fast=True, inner=True)
def forward(
    params: Any,
    layers: Any,
    stack: Any,
    x: Any,
    active: Any,
    counts: Any,
    relative: Any,
    bases: Any,
    work: Any,
    s: int,
    c: int,
    begin: int,
    end: int,
) -> None:
    """Layers begin to end - 1 of one stack on rows s to s + c of the inputs; what lies below them is in `work`.

    `work` is (n, capacity) numbers per layer: layer k's row i starts at layers[k, OUTPUT] * capacity + i * n_out.
    """
    capacity = counts.size
    for index in range(begin, end):
        layer = layers[index]
        n_in, n = layer[N_IN], layer[N_OUT]
        at = layer[OUTPUT] * capacity + s * n
        out = work[at : at + c * n].reshape(c, n)
        bias = params[layer[BIAS] : layer[BIAS] + n]
        if index == stack[FIRST] and active.shape[1] > 0:
            weights = relative[layer[WEIGHTS] : layer[WEIGHTS] + n_in * n].reshape(n_in, n)
            add_planes(active[s : s + c], counts[s : s + c], weights, bases[stack[BASE] : stack[BASE] + n], out)
            bias = np.zeros(n, np.float32)
        else:
            weights = params[layer[WEIGHTS] : layer[WEIGHTS] + n_in * n].reshape(n_in, n)
            if index == stack[FIRST]:
                np.dot(x[s : s + c], weights, out)
            else:
                before = layers[index - 1, OUTPUT] * capacity + s * n_in
                np.dot(work[before : before + c * n_in].reshape(c, n_in), weights, out)
        activate(out, bias, layer[KIND])


@compiled(fast=True, inner=True)
def backward(
    params: Any,
    layers: Any,
    stack: Any,
    x: Any,
    active: Any,
    counts: Any,
    work: Any,
    delta: Any,
    spare: Any,
    product: Any,
    grad: Any,
    s: int,
    c: int,
) -> None:
    """Add to `grad` what rows s to s + c of one stack give, from the gradient of its last outputs.

    It goes down to the lowest layer that learns, and leaves out the weights of those above that do not.

    delta: (c · widest,), holds that gradient (c, n_out) and is used up; spare: as much room again; product: room for
    the largest layer's weights.
    """
    capacity = counts.size
    for index in range(stack[LAST] - 1, stack[LOWEST] - 1, -1):
        layer = layers[index]
        n_in, n = layer[N_IN], layer[N_OUT]
        d = delta[: c * n].reshape(c, n)
        size = n_in * n
        g = grad[layer[WEIGHTS] : layer[WEIGHTS] + size]
        if layer[LEARNS]:
            g_bias = grad[layer[BIAS] : layer[BIAS] + n]
            for i in range(c):
                row = d[i]
                for j in range(n):
                    g_bias[j] += row[j]
        if index == stack[FIRST] and active.shape[1] > 0:
            spread_planes(active[s : s + c], counts[s : s + c], d, g.reshape(n_in, n))
            return
        if index == stack[FIRST]:
            np.dot(x[s : s + c].T, d, product[:size].reshape(n_in, n))
            for j in range(size):
                g[j] += product[j]
            return
        before = layers[index - 1, OUTPUT] * capacity + s * n_in
        inputs = work[before : before + c * n_in].reshape(c, n_in)
        if layer[LEARNS]:
            np.dot(inputs.T, d, product[:size].reshape(n_in, n))
            for j in range(size):
                g[j] += product[j]
        if index == stack[LOWEST]:
            return
        weights = params[layer[WEIGHTS] : layer[WEIGHTS] + size].reshape(n_in, n)
        back = spare[: c * n_in].reshape(c, n_in)
        np.dot(d, weights.T, back)
        chain(back, inputs, layers[index - 1, KIND])
        delta, spare = spare, delta


@compiled(fast=True, inner=True)
def clear(grad: Any, layers: Any) -> None:
    """Set the gradient of every layer that learns to 0."""
    for k in range(layers.shape[0]):
        if layers[k, LEARNS]:
            g = grad[layers[k, WEIGHTS] : layers[k, BIAS] + layers[k, N_OUT]]
            for j in range(g.size):
                g[j] = 0


@compiled(inner=True)
def reads(stacks: Any, kept: Any) -> Any:
    """Whether some stack has to look at the inputs, because its outputs below what learns are not kept."""
    found = kept.size == 0
    for k in range(stacks.shape[0]):
        found |= stacks[k, LOWEST] == stacks[k, FIRST]
    return found


@compiled
def keep(net: Any, inputs: Any, rows: Any, kept: Any) -> None:
    """What lies below the lowest layer that learns, of each stack and of all rows: kept (n_rows, n)."""
    params, layers, stacks, relative, bases, work = net
    x, active, counts = inputs[6], inputs[7], inputs[8]
    for s in range(0, rows.size, CHUNK):
        c = min(CHUNK, rows.size - s)
        take_in(inputs, rows[s : s + c], 0)
        for k in range(stacks.shape[0]):
            stack = stacks[k]
            lowest = stack[LOWEST]
            if lowest == stack[FIRST]:
                continue
            forward(params, layers, stack, x, active, counts, relative, bases, work, 0, c, stack[FIRST], lowest)
            n, at = layers[lowest - 1, N_OUT], layers[lowest - 1, OUTPUT] * counts.size
            for i in range(c):
                kept[s + i, stack[KEPT] : stack[KEPT] + n] = work[at + i * n : at + (i + 1) * n]


@compiled(inner=True)
def forward_from(net: Any, inputs: Any, kept: Any, rows: Any, k: int, s: int, c: int) -> None:
    """Stack k on rows s to s + c of the inputs, from what is kept of these `rows` of the rollout if anything is."""
    params, layers, stacks, relative, bases, work = net
    x, active, counts = inputs[6], inputs[7], inputs[8]
    stack = stacks[k]
    begin, lowest = stack[FIRST], stack[LOWEST]
    if kept.size > 0 and lowest > begin:
        n = layers[lowest - 1, N_OUT]
        at = layers[lowest - 1, OUTPUT] * counts.size + s * n
        for i in range(c):
            row, out = kept[rows[i]], work[at + i * n : at + (i + 1) * n]
            for j in range(n):
                out[j] = row[stack[KEPT] + j]
        begin = lowest
    forward(params, layers, stack, x, active, counts, relative, bases, work, s, c, begin, stack[LAST])


@compiled
def output(layers: Any, stack: Any, work: Any, capacity: int, s: int, c: int) -> Any:
    """A stack's last outputs (c, n_out) of rows s to s + c."""
    layer = layers[stack[LAST] - 1]
    at = layer[OUTPUT] * capacity + s * layer[N_OUT]
    return work[at : at + c * layer[N_OUT]].reshape(c, layer[N_OUT])
