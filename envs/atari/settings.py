"""How an Atari game is played: the protocol of Machado et al. 2018, with what Mnih et al. 2015 did beside it."""

import warnings
from typing import Any, Literal

from ale_py import ALEInterface, LoggerMode, roms
from pydantic import BaseModel, ConfigDict, Field, field_validator

from envs.errors import ConfigError, MissingExtra
from envs.registry import did_you_mean
from envs.validation import validated

ALEInterface.setLoggerMode(LoggerMode.Error)
FULL = 18
"""Actions that a joystick with one button knows."""


class AtariSettings(BaseModel):
    """The arguments of an Atari game. A step is one decision of the agent; it lasts `frameskip` frames of 1/60 s."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """The ROM's name, such as `space_invaders`; an id such as `ALE/SpaceInvaders-v5` stands for its ROM."""
    mode: int | None = Field(default=None, ge=0)
    """The game's mode; None: its own default."""
    difficulty: int | None = Field(default=None, ge=0)
    """The position of the difficulty switches; None: the game's own default."""
    obs_type: Literal["pixels", "ram"] = "pixels"
    """`pixels`: the last screens in grey, (size, size, stack) uint8, channels last, the latest one last. `ram`: the 128
    bytes of memory as float32 from 0 to 1."""
    full_action_space: bool = False
    """Whether all 18 actions are offered, else those that do something in the game."""
    frameskip: int = Field(default=4, ge=1)
    """Frames that an action is held. Of the last two the brighter of each pixel is seen, for sprites flicker."""
    repeat_action_probability: float = Field(default=0.25, ge=0.0, lt=1.0)
    """Sticky actions: in each frame the machine repeats what it did in the last one with this probability."""
    stack: int = Field(default=4, ge=1)
    """Screens that are seen at once."""
    size: int = Field(default=84, ge=8)
    """Height and width of a screen, resized from 210×160 by area."""
    noop_max: int = Field(default=0, ge=0)
    """An episode begins with 1 to so many frames of no action, drawn uniformly; 0: none (Mnih et al. 2015: 30)."""
    life_loss: bool = False
    """In training alone: losing a life terminates what the learner sees as an episode; the game goes on."""
    clip_rewards: bool = False
    """In training alone: rewards are −1, 0 or 1, the sign of what the step earned."""
    max_episode_steps: int | None = Field(default=27_000, ge=1)
    """A game is truncated after so many steps, half an hour at 4 frames each; None: never."""
    engine: Literal["ale", "envpool", "auto"] = "ale"
    """What plays a batch: ALE's own machines, or EnvPool's threads around them, whose dice fall otherwise; `auto`: see
    `envs.engines`. Single games are ALE's, whatever plays batches."""
    threads: int = Field(default=1, ge=1)
    """Threads that play a batch. What is played does not depend on it."""

    @field_validator("game")
    @classmethod
    def _rom(cls, found: str) -> str:
        return rom_of(found)

    @property
    def keeps_records(self) -> bool:
        """Whether what a learner sees is not the game's own score and length, which are then recorded apart."""
        return self.life_loss or self.clip_rewards


def settings_of(arguments: dict[str, Any]) -> AtariSettings:
    """The arguments, checked. Raises ConfigError or UnknownName in one line, MissingExtra without OpenCV."""
    settings = validated(AtariSettings, arguments, f"Atari game {arguments.get('game')!r}")
    if settings.obs_type == "pixels":
        try:
            import cv2  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "Atari's screens need the package 'opencv-python-headless': install it with "
                "pip install 'headstart[atari]', or take obs_type = \"ram\""
            ) from error
    return settings


def rom_of(name: str) -> str:
    """The ROM of a name or of an id of Gymnasium's.

    Raises UnknownName if there is none, ConfigError for one that ALE does not play: loading it would end the process.
    """
    from gymnasium import registry

    if name.startswith("ALE/") and name in registry:
        name = str(registry[name].kwargs["game"])
    path = _path(name)
    if path is None:
        raise did_you_mean("Atari game", name, roms.get_all_rom_ids())
    if ALEInterface.isSupportedROM(path) is None:
        raise ConfigError(f"Atari game {name!r}: its ROM is there, but ALE does not play it; take another game")
    return name


def path_of(rom: str) -> Any:
    """Where a ROM lies. Raises ConfigError if it is not there."""
    path = _path(rom)
    if path is None:
        raise ConfigError(
            f"Atari game {rom!r}: there is no ROM {rom}.bin in ale-py's folder of ROMs; install ale-py again"
        )
    return path


def _path(rom: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return roms.get_rom_path(rom) if rom in roms.get_all_rom_ids() else None


def chosen_of(known: list[int], wanted: int | None, what: str, game: str) -> int | None:
    """A mode or difficulty. Raises ConfigError, which lists those there are."""
    if wanted is not None and wanted not in known:
        listed = ", ".join(map(str, known))
        raise ConfigError(f"Atari game {game!r} has no {what} {wanted}: expected one of {listed}")
    return wanted
