"""What batches that reset an environment in the step that ends its episode have in common (Gymnasium's SAME_STEP)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import ConfigError
from envs.observations import taken

Array = npt.NDArray[Any]


def each_seed(seed: int | Sequence[int | None] | None, num_envs: int) -> Sequence[int | None]:
    """One seed an environment: s is s + i for environment i; None, as a whole or in its place, stays None.

    Raises ConfigError if there is a list of another length.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return range(int(seed), int(seed) + num_envs)
    if len(seed) != num_envs:
        raise ConfigError(f"{len(seed)} seeds for {num_envs} environments: expected one each")
    return seed


def to_reset(options: dict[str, Any] | None, num_envs: int) -> Array:
    """Which environments a reset means: all, or those of the option `reset_mask`, (num_envs,) bool. int64 (m,).

    Raises ConfigError for any other mask.
    """
    given = (options or {}).get("reset_mask")
    if given is None:
        return np.arange(num_envs)
    mask = np.asarray(given)
    if mask.shape != (num_envs,) or mask.dtype != np.bool_:
        raise ConfigError(f"reset_mask is {mask.dtype} {mask.shape}: expected bool ({num_envs},)")
    return np.flatnonzero(mask)


def final_infos(num_envs: int, ended: Array, last: Any) -> dict[str, Any]:
    """The infos of a step in which episodes ended.

    Args:
        num_envs: how many environments there are.
        ended: (m,), those whose episode ended.
        last: the m observations that these episodes ended with.
    """
    if not len(ended):
        return {}
    final = np.full(num_envs, None, dtype=object)
    for place, index in enumerate(ended.tolist()):
        final[index] = taken(last, place)
    mask = np.zeros(num_envs, dtype=np.bool_)
    mask[ended] = True
    return {"final_obs": final, "_final_obs": mask, "final_info": {}, "_final_info": mask.copy()}
