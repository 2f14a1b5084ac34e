"""The report of a study: results.json, report.html, report.md and figures/, from arrays to files."""

import base64
import mimetypes
import os
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from agents import files
from envs.errors import ConfigError
from transfer.report import figures, page, shares
from transfer.report.document import as_json
from transfer.report.results import results
from transfer.study.data import DialData, StudyData
from transfer.study.store import undisturbed

LARGEST = 8_000_000
"""Bytes of a video that a page holds itself; a larger one stays beside it."""
PICTURES = (".mp4", ".webm", ".gif")
"""What the page shows of a folder if no video is named."""


def write(data: StudyData | DialData, folder: str | Path, video: str | Path | None = None) -> dict[str, Any]:
    """Write a study's report into a folder, each file beside and renamed.

    A study with a dial has a page on the curve over its values, and the usual report of each value in a folder below.

    Args:
        data: what was measured.
        folder: made if it is not there; other files in it stay.
        video: shown in the page, a large one by a relative link; by default the first video or moving picture in the
            folder.

    Returns:
        The document of results.json.

    Raises:
        ConfigError: no arm is called `scratch`, or the video is not there.
        UnknownName: the primary metric is none of ours.
    """
    if isinstance(data, DialData):
        from transfer.report import dial

        return dial.write(data, Path(folder))
    with undisturbed():
        return write_document(results(data), Path(folder), video)


def write_document(document: dict[str, Any], folder: Path, video: str | Path | None = None) -> dict[str, Any]:
    """Write the report of what was worked out already. Raises ConfigError if the video is not there."""
    shown = _link(folder, video)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "results.json", as_json(document))  # first, while there is least beside its long text
    drawn = draw(document)
    svg = {name: figures.to_svg(figure, name) for name, figure in drawn.items()}
    for name, figure in drawn.items():
        files.write_text(folder / "figures" / f"{name}.svg", svg[name])
        files.write_bytes(folder / "figures" / f"{name}.png", figures.to_png(figure))
    inline = {name: figures.inline(text, name) for name, text in svg.items()}
    inside = None if shown is None else _inside(folder / shown) or shown
    said = page.context(document, shown)
    files.write_text(folder / "report.html", page.html(said, inline, inside))
    files.write_text(folder / "report.md", page.markdown(said, svg))
    return document


def draw(document: dict[str, Any]) -> dict[str, Figure]:
    """The figures of a page by file name."""
    return {**figures.draw(document), **shares.draw(document)}


def _inside(video: Path) -> str | None:
    """A video as a data URI, so that the page needs no other file; None where it would make the page too large."""
    if video.stat().st_size > LARGEST:
        return None
    kind = mimetypes.guess_type(video.name)[0] or "video/mp4"
    return f"data:{kind};base64,{base64.b64encode(video.read_bytes()).decode()}"


def _link(folder: Path, video: str | Path | None) -> str | None:
    """The video as the page links to it."""
    if video is None:
        found = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURES)
        return found[0].name if found else None
    if not Path(video).is_file():
        raise ConfigError(f"there is no video {str(video)!r} to show in the report")
    return Path(os.path.relpath(video, folder)).as_posix()
