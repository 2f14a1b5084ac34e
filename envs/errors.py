"""The mistakes a user can make, and the one way to say them.

    HeadstartError          one clear line: what was found, what was expected, what to do; exit code 2
    ├── UnknownName         a game, algorithm, method, arm, key or metric that nobody registered
    ├── MissingExtra        known, but the optional package that brings it is not installed
    ├── ConfigError         a value, a study file or a command line that does not make sense
    ├── GameError           a game broke its contract: it raised, returned NaN, a wrong shape
    │   └── OpponentError   who plays against the learner did: it raised, or played what is not legal
    ├── CheckpointError     a run folder, checkpoint or zip that cannot be read, or must not be
    └── MappingError        a source and a target whose observations or actions do not map

Whatever else is raised is our own fault: exit code 1.
"""


class HeadstartError(Exception):
    """A user's mistake. Its text is one line."""


class UnknownName(HeadstartError):
    """A name that no registry knows; the text suggests the nearest ones."""


class MissingExtra(HeadstartError):
    """A known name whose optional package is not installed; the text names the extra."""


class ConfigError(HeadstartError):
    """A configuration that does not make sense."""


class GameError(HeadstartError):
    """A game that broke its contract."""


class OpponentError(GameError):
    """Somebody who plays against the learner, and raised or played what is not legal. The game itself is sound."""


class CheckpointError(HeadstartError):
    """A checkpoint that cannot, or must not, be read."""


class MappingError(HeadstartError):
    """A source and a target that do not map onto each other."""
