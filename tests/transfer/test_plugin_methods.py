"""Methods of other distributions: the documentation's own example, installed as a user would, used in runs."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

from agents.runs import list_runs
from envs.errors import ConfigError
from tests.transfer.teachers import SHORT, carried, run_config
from transfer.carry import Carry, hooks_for, train_run
from transfer.method import METHODS
from transfer.study.execute import run_study

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-method.md").read_text(encoding="utf-8")


def block(language, containing):
    """The documentation's block of code."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(text for text in blocks if containing in text)


def install(folder, module, source, entry):
    """What pip would leave in site-packages."""
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}_demo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-demo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[headstart.methods]\n{entry}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    entry = block("toml", "entry-points").splitlines()[1].replace('"', "")
    install(site, "l2init", block("python", "class Initialisation(Method)"), entry)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("l2init", None)


def distance(run):
    """How far a run's weights went from those it started with."""
    start, end = run.policy(0).network.state_dict(), run.policy().network.state_dict()
    return sum((end[name] - value).square().sum().item() for name, value in start.items())


def test_the_documented_method_trains(installed, tmp_path):
    assert "l2init" in METHODS.names()
    source = run_config()
    train_run(source, tmp_path)
    entries = (["finetune"], ["finetune", {"method": "l2init", "coefficient": 100.0}])
    free, held = (train_run(carried(run_config(seed=3), source, by), tmp_path) for by in entries)
    assert 0 < distance(held) < distance(free) / 2
    assert re.search(r"l2init: \d+ weights are held where they started", (held.path / "log.txt").read_text())


def test_the_documented_method_serves_a_study(installed, tmp_path):
    arm = block("toml", "[arms.held]")
    common = f"""
        game = "{SHORT.game}"
        change = {{ time_limit = 15 }}
        steps = 64
        set = {{ n_envs = 2, n_steps = 16, batch_size = 16, n_epochs = 1, net_arch = [4] }}
    """
    (tmp_path / "held.toml").write_text(
        f'name = "held"\nseeds = 2\n[evaluation]\nevery = 32\nepisodes = 2\n'
        f"[source]\n{common}\n[target]\n{common}\n[arms.scratch]\n{arm}"
    )
    folder = run_study(tmp_path / "held.toml", root=tmp_path / "runs", results=tmp_path / "results", workers=1)
    assert (folder / "results.json").exists()
    finished = [run for run in list_runs(tmp_path / "runs") if run.state == "done"]
    methods = [[entry["method"] for entry in (run.config.transfer or {"by": []})["by"]] for run in finished]
    assert sorted(methods) == [[]] * 4 + [["l2init", "finetune"]] * 2


def test_a_changed_method_makes_another_run(installed):
    before = Carry(source="0123", by=["l2init"])
    assert list(before.sources) == ["l2init:Initialisation"]
    source = (installed / "l2init.py").read_text()
    (installed / "l2init.py").write_text(source + "\n# changed\n")
    sys.modules.pop("l2init")
    importlib.invalidate_caches()
    assert Carry(source="0123", by=["l2init"]).sources != before.sources
    assert Carry(source="0123", by=["finetune"]).sources == {}


def test_a_plugin_that_is_no_method_is_named(tmp_path, monkeypatch):
    install(tmp_path, "nomethod", "def carry():\n    pass\n", "nothing = nomethod:carry")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match="method 'nothing' is 'nomethod:carry': expected a subclass"):
        Carry(source="0123", by=["nothing"])


def test_a_documented_setting_is_checked(installed):
    with pytest.raises(ConfigError, match="method l2init: coefficient: found -1"):
        Carry(source="0123", by=[{"method": "l2init", "coefficient": -1}])


def test_the_hooks_find_their_run(installed, tmp_path):
    source = run_config()
    train_run(source, tmp_path)
    methods = hooks_for(carried(run_config(seed=4), source, ["l2init"]), tmp_path)
    context = methods.methods[0].context
    assert (context.seed, context.steps, context.gamma) == (4, 128, source.hyperparameters["gamma"])
    seen = torch.zeros(2, 4)
    assert torch.equal(context.outputs(seen).head, context.teacher.outputs(seen).head)
