"""Whatever a user types or has on disk: one line that says what was found, and exit code 2; never a traceback."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import files
from transfer.cli.app import run

TINY = ["--steps", "64", "--every", "64", "--episodes", "2", "--set", "n_envs=2", "--set", "n_steps=32"]
TINY += ["--set", "batch_size=64", "--set", "n_epochs=1"]
STUDY = """
name = "typed"
seeds = 1
[source]
game = "headstart/CartPole-v1"
steps = 64
[target]
game = "headstart/CartPoleLong-v1"
steps = 64
[evaluation]
every = 32
episodes = 2
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""
MODULES = {
    "faulty": """
import sys
import gymnasium
import numpy as np
class Faulty(gymnasium.Env):
    metadata = {"headstart": {"features": ["x"], "actions": ["a", "b"]}}
    def __init__(self, fault):
        self.fault, self.taken = fault, 0
        self.observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}
    def step(self, action):
        self.taken += 1
        self.steps += 1
        late = self.taken == 5
        if late and self.fault == "raises":
            raise ValueError("the dragon\\nate it")
        if late and self.fault == "exits":
            sys.exit(3)
        if late and self.fault == "prints":
            print("hello")
        value = np.nan if late and self.fault == "nan" else 0.0
        reward = np.inf if late and self.fault == "inf" else 1.0
        return np.full(1, value, np.float32), reward, self.steps == 8, False, {}
for fault in ("raises", "exits", "nan", "inf", "prints"):
    gymnasium.register(f"{fault}-v0", entry_point=Faulty, kwargs={"fault": fault})
""",
    "broken_syntax": "def (:\n",
    "broken_import": "1 / 0\n",
    "leaves": "import sys\nsys.exit(4)\n",
    "plain": "number = 1\n",
}


class Evil:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny run, its zip, and everything damaged that a user may have."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("HEADSTART_RUNS", raising=False)
        assert run(["train", "headstart/CartPole-v1", *TINY]) == 0
        (whole,) = (folder / "runs").iterdir()
        whole = whole.rename(folder / "runs" / "aaaa0000")
        shutil.copytree(whole, folder / "runs" / "aaaa1111")
        assert run(["export", "aaaa0000", "--sb3", "good.zip"]) == 0
    (folder / "folder.toml").mkdir()
    (folder / "folder.zip").mkdir()
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    _damage_runs(folder, whole)
    _damage_zips(folder)
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def _damage_runs(folder: Path, whole: Path) -> None:
    def copy(key: str) -> Path:
        return Path(shutil.copytree(whole, folder / "damaged" / key))

    (copy("b0") / "config.json").write_text("{")
    os.truncate(copy("b1") / "policy" / "policy.safetensors", 500)
    (copy("b2") / "policy" / "policy.safetensors").write_bytes(pickle.dumps(Evil()))
    (copy("b3") / "policy" / "policy.json").write_text("[1]")
    (copy("b4") / "evaluations.csv").write_bytes(b"\xff\xfe\x00")
    (copy("b5") / "DONE").unlink()
    policy = copy("b6") / "policy" / "policy.json"
    document = json.loads(policy.read_text())
    document["architecture"]["encoder"] = "never:Encoder"
    policy.write_text(json.dumps(document))
    (copy("b7") / "snapshots" / "12x").mkdir()


def _damage_zips(folder: Path) -> None:
    whole = (folder / "good.zip").read_bytes()
    (folder / "half.zip").write_bytes(whole[: len(whole) // 2])
    (folder / "text.zip").write_text("hello")
    (folder / "pickle.zip").write_bytes(pickle.dumps(Evil()))
    with zipfile.ZipFile(folder / "foreign.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with zipfile.ZipFile(folder / "good.zip") as good, zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        for name in good.namelist():
            archive.writestr(name, pickle.dumps(Evil()) if name == "policy.pth" else good.read(name))


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the current one, its modules found as the command line finds them."""
    monkeypatch.chdir(made)
    monkeypatch.syspath_prepend(str(made))
    monkeypatch.delenv("HEADSTART_RUNS", raising=False)
    return made


Said = pytest.CaptureFixture[str]


def one_line(capsys: Said, arguments: list[str], words: str) -> None:
    """It is exit code 2, one line on standard error with the words in it, and nothing on standard output."""
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert words in said.err
    assert said.err.count("\n") == 1


CARTPOLE = "headstart/CartPole-v1"
LONG = "headstart/CartPoleLong-v1"
TYPED = [
    (["train", "headstart/CartPol-v1"], "did you mean 'headstart/CartPole-v1'"),
    (["train", "nowhere:Game-v0"], "there is no module 'nowhere'"),
    (["train", "faulty:rises-v0"], "did you mean 'faulty:raises-v0'"),
    (["train", "faulty.py:raises-v0"], "write 'faulty:raises-v0'"),
    (["train", "./faulty:raises-v0"], "write 'faulty:raises-v0'"),
    (["train", "./faulty.py"], "such as faulty:MyGame-v0"),
    (["train", ":Game-v0"], "should be written 'Id-v0' or 'module:Id-v0'"),
    (["train", "broken_syntax:Game-v0"], "raised SyntaxError: invalid syntax (broken_syntax.py, line 1)"),
    (
        ["train", "broken_import:Game-v0"],
        "raised ZeroDivisionError: division by zero (broken_import.py, line 1)",
    ),
    (["train", "leaves:Game-v0"], "raised SystemExit: 4 (leaves.py, line 2)"),
    (["train", CARTPOLE, "--algo", "pppo"], "did you mean 'ppo'"),
    (["train", CARTPOLE, "--algo", "sac"], "sac acts in Box spaces, found Discrete(2)"),
    (["train", CARTPOLE, "--steps", "0"], "'--steps': Input should be greater than or equal to 1, found '0'"),
    (["train", CARTPOLE, "--steps", "lots"], "found 'lots'"),
    (["train", CARTPOLE, "--set", "n_steps=many"], "n_steps: found 'many', expected a whole number"),
    (["train", CARTPOLE, "--set", "nonsense=1"], "unknown hyperparameter of ppo 'nonsense'"),
    (["train", CARTPOLE, "--set", "n_steps"], "expected name=value"),
    (["train", CARTPOLE, "--change", "sticky=2"], "found 2, expected less than 1"),
    (["train", CARTPOLE, "--change", 'actions=["lefft"]'], "did you mean 'left'"),
    (["train", CARTPOLE, "--change", "gravity=heavy"], "CartPole's gravity is 'heavy': expected a number"),
    (["train", CARTPOLE, "--change", "gravity=nan"], "CartPole's gravity is nan: expected a finite number"),
    (["train", CARTPOLE, "--change", "length=a"], "CartPole's length is 'a': expected a number"),
    (["train", CARTPOLE, "--change", "reward=plain:number"], "'plain:number' is 1, expected a function"),
    (["train", CARTPOLE, "--change", "reward=broken_import:f"], "raised ZeroDivisionError"),
    (["train", CARTPOLE, "--seeds", "0"], "--seeds: found 0, expected 1 to 10000"),
    (["train", CARTPOLE, "--seeds", "99999999999"], "--seeds: found 99999999999, expected 1 to 10000"),
    (["train", CARTPOLE, "--seeds", "²"], "--seeds: found '²', expected how many (5) or a list (0,3,7)"),
    (["train", CARTPOLE, "--seeds", "1,1"], "--seeds: found '1,1', expected each seed once"),
    (["train", CARTPOLE, "--device", "cuda:99"], "found 'cuda:99', which torch cannot use here; expected cpu"),
    (["train", CARTPOLE, "--device", "nonsense"], "found 'nonsense', which torch cannot use here; expected cpu"),
    (["train", CARTPOLE, "--device", "meta"], "found 'meta', which torch cannot use here; expected cpu"),
    (["train", CARTPOLE, "--json", "--algo", "nope"], "unknown algorithm 'nope'"),
    (["train", CARTPOLE, "--runs", "good.zip"], "Not a directory: good.zip"),
    (["train"], "Missing argument 'game'"),
    (["trian"], "Did you mean 'train'"),
    (["transfer", "nosuch", LONG], "unknown run 'nosuch'"),
    (["transfer", "aaaa", LONG], "run 'aaaa' is ambiguous: 2 keys begin so"),
    (["transfer", "good.zip", LONG], "name its game with --game"),
    (["transfer", "nosuch.zip", LONG, "--game", CARTPOLE], "nosuch.zip: there is no such file"),
    (["transfer", "text.zip", LONG, "--game", CARTPOLE], "text.zip is not a Stable-Baselines3 zip"),
    (["transfer", "evil.zip", LONG, "--game", CARTPOLE], "opening it could run code; refused"),
    (["transfer", "good.zip", LONG, "--game", "Acrobot-v1"], "good.zip"),
    (["transfer", "good.zip", LONG, "--game", CARTPOLE, "--step", "5"], "a step can be asked of a run only"),
    (["transfer", "good.zip", LONG, "--source-change", "sticky=0.5"], "--source-change is said of the game"),
    (["transfer", "aaaa0000", LONG, "--game", CARTPOLE], "says itself that it played headstart/CartPole-v1"),
    (["transfer", "damaged/b3/policy", LONG], "is not a policy of Headstart"),
    (["distill", "good.zip", "--into", "algorithm=ppo"], "name its game with --game"),
    (["transfer", "b5", LONG, "--runs", "damaged"], "run b5 is unfinished; expected a finished run"),
    (["transfer", "aaaa0000", LONG, "--by", "finetun"], "did you mean 'finetune'"),
    (["transfer", "aaaa0000", LONG, "--option", "finetune.freez=1"], "did you mean 'freeze'"),
    (["transfer", "aaaa0000", "Pendulum-v1"], "the actions do not map: the source has Discrete(2) of left, right"),
    (["mapping", CARTPOLE, "MiniGrid-Empty-5x5-v0"], "the observations do not map"),
    (["mapping", CARTPOLE, "Blackjack-v1", "--json"], "which cannot be learnt from"),
    (["mapping", CARTPOLE, CARTPOLE, "--feature", "x=y"], "unknown target feature 'x'"),
    (["evaluate", "aaaa0000", "--game", "Acrobot-v1"], "Box(6,) of float32, the policy expects Box(4,) of float32"),
    (["evaluate", "aaaa0000", "--game", "Acrobot-v1", "--json"], "evaluate it on the game it was trained on"),
    (["evaluate", "nosuch.zip", "--game", CARTPOLE], "nosuch.zip: there is no such file"),
    (["evaluate", "good.zip"], "name its game with --game"),
    (["evaluate", "text.zip"], "text.zip is not a Stable-Baselines3 zip"),
    (["evaluate", "half.zip", "--game", CARTPOLE], "half.zip is not a Stable-Baselines3 zip"),
    (["evaluate", "text.zip", "--game", CARTPOLE], "text.zip is not a Stable-Baselines3 zip"),
    (["evaluate", "foreign.zip", "--game", CARTPOLE], "foreign.zip is not a Stable-Baselines3 zip"),
    (["evaluate", "pickle.zip", "--game", CARTPOLE], "pickle.zip is not a Stable-Baselines3 zip"),
    (["evaluate", "evil.zip", "--game", CARTPOLE], "opening it could run code; refused"),
    (["evaluate", "damaged/b0"], "damaged/b0/config.json is not a run's config"),
    (["evaluate", "damaged/b1"], "is not a whole safetensors file"),
    (["evaluate", "damaged/b2"], "is not a whole safetensors file"),
    (["evaluate", "damaged/b3"], "is not a policy of Headstart"),
    (["evaluate", "damaged/b3/policy"], "is not a policy of Headstart"),
    (["evaluate", "damaged/b5"], "run b5 is unfinished and has no final policy"),
    (["evaluate", "damaged/b6/policy"], "'never:Encoder', whose module a checkpoint may not have imported"),
    (["runs", "show", "damaged/b4"], "evaluations.csv is no text"),
    (["runs", "rm", "nosuch"], "unknown run 'nosuch'"),
    (["watch", "aaaa0000", "--record", "x.avi"], "expected a file that ends in .mp4 or .gif"),
    (["watch", "aaaa0000", "--record", "x.gif", "--game", "Acrobot-v1"], "trained with Box(4,)"),
    (["watch", "aaaa0000", "--record", "x.gif", "--fps", "900"], "found '900'"),
    (["export", "aaaa0000", "--sb3", "x.tar"], "expected a file name that ends in .zip"),
    (["export", "aaaa0000", "--sb3", "folder.zip"], "Is a directory: folder.zip"),
    (["study", "nosuch.toml"], "there is no study file 'nosuch.toml'"),
    (["study", "folder.toml"], "folder.toml is a folder, expected a study file"),
    (["status", "folder.toml"], "folder.toml is a folder, expected a study file"),
    (["report", "folder.toml"], "folder.toml is a folder, expected a study file"),
    (["study", "binary.toml"], "binary.toml: not TOML"),
    (["status", "nosuch"], "unknown study 'nosuch'"),
]


@pytest.mark.parametrize(("arguments", "words"), TYPED, ids=[" ".join(arguments) for arguments, _ in TYPED])
def test_a_mistake_on_the_command_line(here: Path, capsys: Said, arguments: list[str], words: str) -> None:
    one_line(capsys, arguments, words)
    assert not (here / "executed").exists()
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


WRITTEN = [
    ("seeds = 1", "sedes = 1", "unknown key 'sedes': did you mean 'seeds'"),
    ("seeds = 1", "seeds = 'three'", "seeds: found 'three', expected how many (5) or a list"),
    ("seeds = 1", "seeds = 1000000000", "seeds: found 1000000000, expected at most 10000"),
    ("seeds = 1", "seeds = 1\nprimary = 'total_rewad'", "did you mean 'total_reward'"),
    ("seeds = 1", "seeds = 1\nthresholds = [nan]", "thresholds.0: found nan, expected a finite number"),
    ("seeds = 1", "seeds = = 1", "not TOML"),
    ("steps = 64", "steps = 0", "source.steps: found 0, expected at least 1"),
    ("steps = 64", "steps = 'lots'", "source.steps: found 'lots', expected a valid integer"),
    ("[arms.scratch]", "[arms.scrach]", "found scrach, finetune"),
    ("['finetune']", "['finetun']", "arms.finetune: unknown method 'finetun': did you mean 'finetune'"),
    (LONG, "headstart/CartPoleLon-v1", "target: unknown game 'headstart/CartPoleLon-v1'"),
    (LONG, "Pendulum-v1", "arms.finetune: from headstart/CartPole-v1 to Pendulum-v1: the actions do not map"),
]


@pytest.mark.parametrize(("right", "wrong", "words"), WRITTEN, ids=[words for *_, words in WRITTEN])
def test_a_mistake_in_a_study_file(here: Path, capsys: Said, right: str, wrong: str, words: str) -> None:
    text = STUDY.replace('"', "'")
    assert right in text
    (here / "typed.toml").write_text(text.replace(right, wrong, 1))
    one_line(capsys, ["study", "typed.toml", "--json"], words)


def test_a_study_that_was_never_run_has_no_report(here: Path, capsys: Said) -> None:
    (here / "never.toml").write_text(STUDY)
    one_line(capsys, ["report", "never.toml", "--json"], "has no finished run on its target yet")


FAULTS = {
    "raises": r"raised ValueError('the dragon\nate it') at step 5",
    "exits": "raised SystemExit(3) at step 5",
    "nan": "returned NaN or infinity in its observation at step 5",
    "inf": "returned the reward inf at step 5",
}


@pytest.mark.filterwarnings("ignore:.*render_modes")
@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
def test_a_game_that_breaks_in_mid_episode(here: Path, capsys: Said, fault: str, words: str) -> None:
    one_line(capsys, ["train", f"faulty:{fault}-v0", *TINY, "--json"], words)
    assert run(["games", "check", f"faulty:{fault}-v0"]) == 2


def test_one_damaged_run_does_not_hide_the_others(here: Path, capsys: Said) -> None:
    assert run(["runs", "list", "--runs", "damaged", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["key"] for row in document["runs"]] == ["b1", "b2", "b3", "b4", "b5", "b6", "b7"]
    assert ["b0" in line for line in document["damaged"]] == [True]
    assert run(["runs", "list", "--runs", "damaged"]) == 0
    assert "damaged: damaged/b0/config.json is not a run's config" in capsys.readouterr().out


def test_a_stranger_among_the_snapshots_is_passed_over(here: Path, capsys: Said) -> None:
    assert run(["runs", "show", "damaged/b7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"] == [0, 6, 32]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """As a full disk: no file can become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", CARTPOLE, *TINY, "--runs", "full"], "/snapshots/0"),
        (["export", "aaaa0000", "--sb3", "full.zip"], "full.zip"),
        (["watch", "aaaa0000", "--record", "full.gif", "--max-steps", "3"], "full.gif"),
        (["watch", "aaaa0000", "--record", "full.mp4", "--max-steps", "3"], "is the disk full?"),
    ],
)
def test_a_full_disk_is_named_and_leaves_no_half_files(
    here: Path, capsys: Said, arguments: list[str], words: str
) -> None:
    with largest_file(4_000):
        one_line(capsys, arguments, words)
    assert [path.name for path in here.iterdir() if "full." in path.name] == []
    assert list(here.glob("full/*/FAILED")) == []


def test_an_error_of_the_disk_says_where_and_what_to_do(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        with files.naming(Path("there")):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfer.cli.app.app", full)
    one_line(capsys, [], "No space left on device: there; make room, then give the same command again")


def test_an_interrupt_that_a_library_took_for_something_else(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    from transfer.cli import app

    def loading(*_: object, **__: object) -> None:
        try:
            app._interrupt(signal.SIGINT, None)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr(app, "app", loading)
    assert run([]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupt_while_the_verbs_are_imported(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")
    code = "import transfer.cli.start as start; start.main()"
    started = time.monotonic()
    ended = _python(["-c", code], tmp_path, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")
    assert time.monotonic() - started < 5


def test_an_interrupt_while_the_server_of_workers_loads(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time; time.sleep(3)")
    code = """
import os, signal, threading, time
from transfer.study import pool
pool.SERVER = "slow"
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
started = time.monotonic()
try:
    pool._context()
except KeyboardInterrupt:
    print(time.monotonic() - started < 2, flush=True)
os._exit(0)
"""
    ended = _python(["-c", code], tmp_path, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert (ended.stdout, ended.stderr) == ("True\n", "")


def test_what_a_game_prints_or_warns_of_is_not_in_the_document(here: Path) -> None:
    arguments = ["train", "faulty:prints-v0", *TINY, "--json"]
    ended = _python(["-m", "transfer", *arguments], here, PYTHONPATH=str(Path(__file__).parents[2]))
    assert ended.returncode == 0
    assert [found["game"] for found in json.loads(ended.stdout)["runs"]] == ["faulty:prints-v0"]
    assert set(ended.stderr.splitlines()) == {"hello"}


def _python(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=60
    )
