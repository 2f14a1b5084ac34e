"""CleanRL's ppo.py, as it is, on CartPole: executed by the Python of `cleanrl`.

    .peers/cleanrl/bin/python benchmarks/peer_runs/cleanrl.py .peers/cleanrl/source/ppo.py --steps 20000

Not a line of it is changed. Its vector of environments is replaced by a subclass that counts steps, looks at the agent
between two rollouts, and ends the run. It writes a folder `runs/` where it is started.
"""

import argparse
import contextlib
import io
import math
import runpy
import sys
from pathlib import Path
from typing import Any

from report import Clock, Span, say, versions

ROLLOUT = 4 * 128
"""Steps between two updates: its defaults."""


class Over(Exception):
    """The run has seen enough."""


def main() -> None:
    """Train, and print the line."""
    clock = Clock()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, required=True, help="those timed, or the budget")
    parser.add_argument("--budget", type=int, default=500_000, help="its total_timesteps: over these the rate falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", choices=["cartpole"])
    parser.add_argument("--every", type=int, default=2048)
    parser.add_argument("--cap", type=float, default=math.inf)
    options = parser.parse_args()

    import checks
    import gymnasium as gym
    import numpy as np
    import torch

    torch.set_num_threads(1)
    span = Span(clock)
    found: dict[str, Any] = {"reached": None, "score": None}

    class Counted(gym.vector.SyncVectorEnv):
        """Its environments, and a look between rollouts."""

        made = 0

        def step(self, actions: Any) -> Any:
            if self.made % ROLLOUT == 0:
                self._between_rollouts(sys._getframe(1).f_globals.get("agent"))
            self.made += self.num_envs
            return super().step(actions)

        def _between_rollouts(self, agent: Any) -> None:
            if self.made == 2 * ROLLOUT:
                span.begin(self.made)
            if options.check is None:
                if span.began is not None and self.made >= options.steps:
                    raise Over
                return
            if self.made and self.made % options.every == 0:
                self._look(agent)
            if found["reached"] or clock.cold() > options.cap or self.made >= options.steps:
                raise Over

        def _look(self, agent: Any) -> None:
            at = clock.cold()

            def act(seen: np.ndarray) -> np.ndarray:
                with torch.no_grad():
                    actions: np.ndarray = agent.actor(torch.as_tensor(seen)).argmax(1).numpy()
                return actions

            with clock.pause():
                found["score"] = checks.greedy_cartpole(act)
            if found["score"] >= checks.THRESHOLDS["cartpole"] and at <= options.cap:
                found["reached"] = {"steps": self.made, "seconds": at}

    counted: list[Counted] = []

    def make(*given: Any, **named: Any) -> Counted:
        counted.append(Counted(*given, **named))
        return counted[-1]

    gym.vector.SyncVectorEnv = make
    file = str(options.file.resolve())
    sys.argv = [file, f"--seed={options.seed}", f"--total-timesteps={options.budget}", "--no-cuda"]
    with contextlib.suppress(Over), contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(file, run_name="__main__")
    timed = span.end(counted[0].made)
    if options.check:
        timed = {"steps": counted[0].made}
    say(clock, **timed, **found, seed=options.seed, versions=versions("torch", "gymnasium", "numpy"))


if __name__ == "__main__":
    main()
