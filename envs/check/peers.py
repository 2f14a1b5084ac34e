"""The checkers of Gymnasium, Stable-Baselines3 and PettingZoo, their words kept and their warnings taken as notes."""

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from envs.check.players import Player, Players
from envs.check.report import Fault, one_line

IDLE = re.compile(
    r"is different from the unwrapped version"  # wrappers are meant
    r"|minimum value is -infinity|maximum value is infinity"  # said of every velocity
    r"|is an image but the\s+upper and lower bounds|minimal resolution for an image"  # planes of symbols, below
)


def judges(player: Player) -> list[tuple[str, Callable[[Any], None]]]:
    """The peers' checkers that apply, by title."""
    if isinstance(player, Players):
        found: list[tuple[str, Callable[[Any], None]]] = [("PettingZoo's parallel_api_test", _parallel_check)]
        if hasattr(player.env, "aec_env"):  # which was made parallel out of a game of turns
            found.append(("PettingZoo's api_test", _turns_check))
        return found
    return [
        ("Gymnasium's check_env", lambda env: gymnasium_check(env, skip_render_check=True, skip_close_check=True)),
        ("Stable-Baselines3's check_env", sb3_check),
    ]


def _parallel_check(env: Any) -> None:
    from pettingzoo import AECEnv
    from pettingzoo.test import parallel_api_test  # imports games of its own, which warn
    from pettingzoo.utils.conversions import aec_to_parallel

    parallel_api_test(aec_to_parallel(env) if isinstance(env, AECEnv) else env, num_cycles=50)


def _turns_check(env: Any) -> None:
    from pettingzoo.test import api_test

    api_test(getattr(env, "aec_env", env), num_cycles=50)


def verdict(title: str, judge: Callable[[Any], None], make: Callable[[], Any]) -> tuple[Fault | None, list[str]]:
    """A fault with the peer's own message, if it raised, and its warnings."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        fault, env = None, None
        try:
            env = make()
            judge(env)
        except (Exception, SystemExit) as error:
            text = one_line(str(error)) or type(error).__name__
            fault = Fault(f"{title} says: {text}", f"a game that passes {title}", "follow what it says")
    said = [f"{title} says: {one_line(str(warning.message))}" for warning in caught if _worth_saying(warning, env)]
    return fault, list(dict.fromkeys(said))


def _worth_saying(warning: warnings.WarningMessage, env: Any) -> bool:
    if issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | ImportWarning | ResourceWarning):
        return False
    found = IDLE.search(" ".join(str(warning.message).split()))
    return found is None or ("image" in found.group() and not _symbols(getattr(env, "observation_space", None)))


def _symbols(space: Any) -> bool:
    """Whether a space of three axes is planes of small integers, which no encoder here takes for a picture."""
    return isinstance(space, spaces.Box) and space.dtype.kind in "ui" and int(space.high.max()) < 255
