"""Makes the environments in which peers are measured, one of their own for each, under `.peers/`.

    .venv/bin/python benchmarks/peers.py make [NAME ...] [--mirror FOLDER] [--again]
    .venv/bin/python benchmarks/peers.py list

Versions are pinned in `benchmarks/peer_runs/requirements/`, down to the last dependency; torch is 2.13.0 everywhere,
and its CPU build is enough (where pip would take another, tell pip so by its own means, such as PIP_EXTRA_INDEX_URL).
CleanRL and purejaxrl are no packages: one file of each is read from their repository at a pinned commit. On a machine
without internet, `--mirror` names a folder with clones called `cleanrl` and `purejaxrl`. What cannot be had is named,
the reason is kept, and benchmarks say "not measured" of it.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent / ".peers"


@dataclass(frozen=True)
class Repository:
    """One file of a public repository."""

    url: str
    commit: str
    file: str


@dataclass(frozen=True)
class Peer:
    """Who is measured."""

    name: str
    what: str
    repository: Repository | None = None

    @property
    def home(self) -> Path:
        """Its environment's folder."""
        return ROOT / self.name

    @property
    def python(self) -> Path:
        """Its own Python."""
        return self.home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def source(self) -> Path:
        """The file of its repository, where it has one."""
        return self.home / "source" / (Path(self.repository.file).name if self.repository else "")

    @property
    def requirements(self) -> Path:
        """The versions it is measured with."""
        return HERE / "peer_runs" / "requirements" / f"{self.name}.txt"

    def why_not(self) -> str | None:
        """Why it cannot be measured; None if it can."""
        failed = self.home / "FAILED"
        if failed.exists():
            return failed.read_text().strip()
        if not (self.home / "DONE").exists():
            return f"not installed: python benchmarks/peers.py make {self.name}"
        return None


PEERS = {
    peer.name: peer
    for peer in (
        Peer("zoo", "rl-zoo3's settings through Stable-Baselines3; MiniGrid and MinAtar themselves"),
        Peer("sbx", "Stable-Baselines in JAX, rl-zoo3's settings"),
        Peer("navix", "MiniGrid's games in JAX"),
        Peer("xminigrid", "grid worlds in JAX"),
        Peer("imitation", "behavioural cloning on Stable-Baselines3's networks"),
        Peer("rliable", "aggregates of runs after Agarwal et al."),
        Peer("supersuit", "PettingZoo's games as vector environments by SuperSuit's wrappers"),
        Peer(
            "cleanrl",
            "PPO in one file of torch",
            Repository(
                "https://github.com/vwxyzjn/cleanrl", "fe8d8a03c41a7ef5b523e2e354bd01c363e786bb", "cleanrl/ppo.py"
            ),
        ),
        Peer(
            "purejaxrl",
            "PPO and its games in one program of JAX",
            Repository(
                "https://github.com/luchris429/purejaxrl",
                "31756b197773a52db763fdbe6d635e4b46522a73",
                "purejaxrl/ppo.py",
            ),
        ),
    )
}


class NotMade(Exception):
    """Why an environment could not be made, in one line."""


def make(peer: Peer, mirror: Path | None = None, again: bool = False) -> str:
    """Make a peer's environment unless it is there already, and say in one line how it went."""
    stamp = hashlib.sha256(peer.requirements.read_bytes()).hexdigest()
    done = peer.home / "DONE"
    if done.exists() and done.read_text() == stamp and not again:
        return "there already"
    shutil.rmtree(peer.home, ignore_errors=True)
    peer.home.mkdir(parents=True)
    try:
        if peer.repository is not None:
            _read(peer, peer.repository, mirror)
        _run([sys.executable, "-m", "venv", str(peer.home)])
        _run([str(peer.python), "-m", "pip", "install", "--quiet", "--requirement", str(peer.requirements)])
    except NotMade as error:
        (peer.home / "FAILED").write_text(f"{error}\n")
        return f"not measured: {error}"
    done.write_text(stamp)
    return "made"


def _read(peer: Peer, repository: Repository, mirror: Path | None) -> None:
    """The repository's file at its commit, into `source/`."""
    name = repository.url.rpartition("/")[2]
    clone = peer.home / "clone"
    if mirror is not None:
        clone = mirror / name
        if not clone.exists():
            raise NotMade(f"{mirror} has no {name}")
    else:
        _run(["git", "clone", "--quiet", "--no-checkout", repository.url, str(clone)])
    text = _run(["git", "-C", str(clone), "show", f"{repository.commit}:{repository.file}"])
    peer.source.parent.mkdir()
    peer.source.write_text(text)
    shutil.rmtree(peer.home / "clone", ignore_errors=True)


def _run(command: list[str]) -> str:
    """What a command prints. Raises NotMade with the last line of its complaint."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise NotMade(str(error)) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        errors = [line for line in said if line.startswith(("ERROR", "fatal"))]
        raise NotMade((errors or said)[-1].strip())
    return done.stdout


def main() -> None:
    """Make or list environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make", help="make environments")
    making.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; all by default")
    making.add_argument("--mirror", type=Path, metavar="FOLDER", help="clones of cleanrl and purejaxrl")
    making.add_argument("--again", action="store_true", help="also those that are there")
    verbs.add_parser("list", help="say what is there")
    options = parser.parse_args()
    if options.verb == "list":
        for peer in PEERS.values():
            print(f"{peer.name:10} {peer.what}: {peer.why_not() or 'ready'}")
        return
    unknown = set(options.names) - set(PEERS)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; expected {', '.join(PEERS)}")
    for name in options.names or PEERS:
        print(f"{name:10} {make(PEERS[name], options.mirror, options.again)}", flush=True)


if __name__ == "__main__":
    main()
