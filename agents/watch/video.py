"""Pictures to a file: MP4 (H.264) or GIF, written beside and renamed. Needs no display."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image

from agents import files
from agents.config import Mode
from agents.policy import Policy
from agents.watch import theme
from agents.watch.show import Show, pictures, side_by_side
from envs.errors import ConfigError
from envs.headless import headless
from envs.task import Task

SUFFIXES = (".mp4", ".gif")
PALETTE_SAMPLE = 24
"""Of the first pictures of a GIF, from which its colours are chosen."""
GIF_COLOURS = 128
EXACT = (
    theme.CARD,
    theme.PAGE,
    theme.WELL,
    theme.INK,
    theme.TRUNCATED,
    theme.NEGATIVE,
    theme.CHOSEN,
    theme.BAR,
)
"""Colours that every GIF has besides, as they are: marks come late, and averages of white are not white."""

NEAR = 24
"""Sum of differences below which an average gives way to an exact colour; Pillow compares colours in steps of four."""

Pictures = Iterable[tuple[Image.Image, int]]
"""Pictures of one even size, and for how many frames each is shown."""


def record_side_by_side(
    policies: Sequence[tuple[str, Policy]],
    path: str | Path,
    *,
    task: Task,
    seed: int = 0,
    episodes: int = 1,
    max_steps: int | None = 1000,
    mode: Mode = "sampled",
    fps: int | None = None,
) -> Path:
    """Record several policies, each with its title, on the same episodes of one task.

    Args:
        policies: titles and policies, from left to right.
        path: FILE.mp4 or FILE.gif.
        max_steps: each episode is left after so many steps.
        fps: frames a second; by default the game's own.

    Raises:
        ConfigError: another suffix, or no ffmpeg.
        MappingError: a policy does not fit the task.
    """
    check_suffix(path)
    with side_by_side(policies, task=task, seed=seed, mode=mode, episodes=episodes, max_steps=max_steps) as show:
        return record(show, path, fps=fps)


def record(show: Show, path: str | Path, *, fps: int | None = None) -> Path:
    """Play a show into a file; it rests for a second where an episode ends. Raises ConfigError."""
    file = check_suffix(path)
    rate = fps or show.fps
    write = write_mp4 if file.suffix.lower() == ".mp4" else write_gif
    with files.file_beside(file) as partial, headless():
        write(partial, pictures(show, pause=rate), rate)
    return file


def check_suffix(path: str | Path) -> Path:
    """The path. Raises ConfigError unless it ends in .mp4 or .gif."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--record: found {str(path)!r}, expected a file that ends in {' or '.join(SUFFIXES)}")
    return file


def write_mp4(file: Path, frames: Pictures, fps: int) -> None:
    """H.264 in yuv420p, which every browser and player shows."""
    import imageio_ffmpeg

    stream = iter(frames)
    first = next(stream)
    try:
        writer = imageio_ffmpeg.write_frames(
            str(file),
            first[0].size,
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="quiet",
            output_params=["-crf", "20", "-movflags", "+faststart"],
        )
        writer.send(None)
    except RuntimeError as error:
        raise ConfigError(
            f"no ffmpeg to write MP4 with ({error}): reinstall imageio-ffmpeg, or record a .gif"
        ) from error
    sent = 0
    try:
        for picture, times in chain([first], stream):
            for _ in range(times):
                writer.send(picture.tobytes())
                sent += 1
    except OSError as error:  # ffmpeg is gone
        raise _cut_off(file, sent) from error
    finally:
        writer.close()
    try:  # ffmpeg's exit code is not told
        whole = imageio_ffmpeg.count_frames_and_secs(str(file))[0] == sent
    except RuntimeError as error:
        raise _cut_off(file, sent) from error
    if not whole:
        raise _cut_off(file, sent)


def _cut_off(file: Path, sent: int) -> OSError:
    return OSError(f"ffmpeg could not write all {sent} pictures into {file.parent.resolve()}: is the disk full?")


def write_gif(file: Path, frames: Pictures, fps: int) -> None:
    """One palette for all pictures, so that Pillow stores only what changes. GIF counts in hundredths of a second."""
    stream = iter(frames)
    sample = list(islice(stream, PALETTE_SAMPLE))
    palette = _palette([picture for picture, _ in sample])
    duration = max(2, round(100 / fps)) * 10
    durations: list[int] = []

    def flat() -> Iterator[Image.Image]:
        for picture, times in chain(sample, stream):
            durations.append(times * duration)
            yield picture.quantize(palette=palette, dither=Image.Dither.NONE)

    quantised = list(flat())
    quantised[0].save(
        file,
        save_all=True,
        append_images=quantised[1:],
        duration=durations,
        loop=0,
        optimize=True,
        disposal=1,
    )


def _palette(sample: Sequence[Image.Image]) -> Image.Image:
    """A palette image of the colours that occur."""
    width, height = sample[0].size
    spread = sample[:: max(1, len(sample) // 6)]
    shrunk = [picture.resize((width // 2, height // 2), Image.Resampling.NEAREST) for picture in spread]
    sheet = Image.new("RGB", (width // 2, height // 2 * len(shrunk)))
    for place, picture in enumerate(shrunk):
        sheet.paste(picture, (0, place * (height // 2)))
    palette = sheet.quantize(GIF_COLOURS, method=Image.Quantize.MEDIANCUT)
    entries = np.array(palette.getpalette(), dtype=int).reshape(-1, 3)[:GIF_COLOURS]
    exact = np.array(EXACT)
    near = np.abs(entries[:, None] - exact).sum(axis=2).min(axis=1) < NEAR
    palette.putpalette(np.concatenate([exact, entries[~near]]).ravel().tolist())
    return palette
