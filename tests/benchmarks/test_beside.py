"""Measurements beside each other: what hangs costs little and is told, what fails is named."""

import importlib
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
try:
    beside = importlib.import_module("beside")
finally:
    sys.path.pop(0)

ANSWER = """print('{"steps": 6, "seconds": 2, "peak_bytes": 0}')"""


def contender(tmp_path: Path, hangs: tuple[int, ...], limit: float = 20.0) -> Any:
    """One that answers, but for these of its processes, counted from 0."""
    count = tmp_path / "count"
    code = (
        "import pathlib, time\n"
        f"file = pathlib.Path({str(count)!r})\n"
        "n = int(file.read_text()) if file.exists() else 0\n"
        "file.write_text(str(n + 1))\n"
        f"time.sleep(60 if n in {hangs!r} else 0)\n"
        f"{ANSWER}"
    )
    return beside.Contender("peer", [sys.executable, "-c", code], limit=limit)


def notes(found: list[Any]) -> str:
    table = beside.Table("", ("",), [])
    table.describe(found, 2, beside.Load())
    return "\n".join(table.notes)


def test_one_hang_costs_a_little_and_is_told(tmp_path: Path) -> None:
    began = time.monotonic()
    (found,) = beside.measure([contender(tmp_path, hangs=(1,))], 2, grace=2.0)
    assert time.monotonic() - began < 15
    assert found.values(beside.steps_per_second) == [3.0, 3.0]
    assert "peer: no answer in" in notes([found])


def test_what_hangs_again_and_again_keeps_what_was_measured(tmp_path: Path) -> None:
    (found,) = beside.measure([contender(tmp_path, hangs=(1, 2, 3))], 3, grace=0.3)
    assert len(found.results) == 1
    assert "Only 1 measured: peer: no answer in" in notes([found])


def test_what_fails_is_named_with_its_last_line() -> None:
    (found,) = beside.measure([beside.Contender("peer", [sys.executable, "-c", "raise SystemExit('no such game')"])], 2)
    assert notes([found]).endswith("Not measured: peer: no such game")
