"""PPO that insists on legal moves, under sb3-contrib's name and with its words."""

from typing import Any

import numpy as np

from agents.masking import MaskedActorCritic
from agents.ppo import PPO
from envs.errors import ConfigError
from envs.masks import MASK, SEEN


class MaskablePPO(PPO):
    """Our PPO, for games whose observations say which actions are legal; `agents.ppo.PPO` plays them as well.

    Raises ConfigError for a game whose observations do not.
    """

    def _setup_model(self) -> None:
        super()._setup_model()
        if not isinstance(self.policy, MaskedActorCritic):
            raise ConfigError(
                f"maskable-ppo: expected a game whose observations are a Dict of {SEEN!r} and {MASK!r}, found "
                f"{self.observation_space}; take ppo"
            )

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions, and the state as it was; masks (n,) or (B, n) stand in place of the observation's own."""
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks=action_masks)  # type: ignore[call-arg]
