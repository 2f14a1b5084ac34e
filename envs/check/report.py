"""What a check finds: faults in the words of the game's author, notes, and what is in order."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Fault:
    """Something a game must mend before it can be learnt."""

    what: str
    """What was found, and where."""
    expected: str
    """What was expected instead."""
    fix: str
    """What to do about it."""
    origin: str = field(default="", compare=False, repr=False)
    """The same for faults of one cause, which are told once; empty if there is only one."""

    def __str__(self) -> str:
        return f"{self.what}; expected {self.expected}; to mend it, {self.fix}"


class Broken(Exception):
    """Raised inside the checks where a game cannot be played on; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass
class Report:
    """All that was found about one game."""

    game: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Not wrong, but worth knowing."""
    passed: list[str] = field(default_factory=list)
    """Titles of the checks that found no fault."""
    steps_per_second: float | None = None
    """Of one environment under random actions; None if it could not be played."""

    @property
    def fine(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    @contextmanager
    def part(self, title: str) -> Iterator[list[Fault]]:
        """One check: collects the faults appended to the list, whatever it raises, or else that it passed."""
        found: list[Fault] = []
        try:
            yield found
        except Broken as error:
            found.append(error.fault)
        except (Exception, SystemExit) as error:
            found.append(raised(error, f"in the check that {title}"))
        for fault in found:
            if fault not in self.faults and not (fault.origin and fault.origin in {one.origin for one in self.faults}):
                self.faults.append(fault)
        if not found:
            self.passed.append(title)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "game": self.game,
            "fine": self.fine,
            "faults": [{"what": one.what, "expected": one.expected, "fix": one.fix} for one in self.faults],
            "notes": self.notes,
            "passed": self.passed,
            "steps_per_second": self.steps_per_second,
        }


def raised(error: BaseException, when: str) -> Fault:
    """The fault of a game that raised: what, when, and on which line of its own source."""
    text = one_line(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _foreign(frame.filename)] or frames
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    said = f"{type(error).__name__}{f': {text}' if text else ''}"
    return Fault(
        f"the game raised {said} {when}{where}",
        "no exception while it is played",
        "mend the line named, or end the episode where the game can go no further",
        origin=said + where,
    )


def kind_of(value: Any) -> str:
    """The name of a value's type, told apart from Python's own where it is numpy's."""
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _foreign(filename: str) -> bool:
    """Whether a file belongs to an installed library or to these checks, rather than to the game."""
    return "site-packages" in filename or Path(filename).parent == Path(__file__).parent


def one_line(text: str) -> str:
    """Text without line breaks and terminal colours."""
    return " ".join(_COLOUR.sub("", text).split())
