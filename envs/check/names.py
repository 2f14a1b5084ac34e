"""The names of a game's features and actions, which the inter-task mapping is built from."""

from collections.abc import Iterator, Mapping
from typing import Any

from envs.catalogue import SAID
from envs.check.players import Player
from envs.check.report import Broken, Fault, Report
from envs.check.spaces import count_of_actions, count_of_features
from envs.registry import did_you_mean

Names = tuple[str, ...] | None


def metadata_of(player: Player) -> Mapping[str, Any]:
    """What the environment says of itself; empty if it says nothing."""
    found = getattr(player.env, "metadata", None)
    return found if isinstance(found, Mapping) else {}


def check_names(report: Report, player: Player, catalogue: Mapping[str, Names]) -> Names:
    """Whether there are as many names as there are things. Returns those of features, if there are."""
    names: dict[str, Names] = {}
    with report.part("its names fit its spaces") as found:
        said = _said(player)
        found += [
            Fault(
                f'metadata["headstart"]: {did_you_mean("key", str(key), SAID)}',
                "known keys only",
                "correct or remove it",
            )
            for key in said
            if key not in SAID
        ]
        observation, action = player.spaces(player.agents[0])
        for key, count in (("features", count_of_features(observation)), ("actions", count_of_actions(action))):
            given = said.get(key, catalogue.get(key))
            faults = list(_misnamed(key, given, count))
            found += faults
            names[key] = None if faults or given is None else tuple(given)
            if given is None and count is not None:
                report.note(f'its {key} are not named: with metadata["headstart"]["{key}"] they map to other games')
    return names.get("features")


def _said(player: Player) -> Mapping[str, Any]:
    said = metadata_of(player).get("headstart", {})
    if isinstance(said, Mapping):
        return said
    raise Broken(
        Fault(
            f'metadata["headstart"] is a {type(said).__name__}',
            "a dictionary with the keys 'features' and 'actions'",
            'write metadata["headstart"] = {"features": [...], "actions": [...]}',
        )
    )


def _misnamed(key: str, names: Any, count: int | None) -> Iterator[Fault]:
    where = f'metadata["headstart"]["{key}"]'
    if names is None:
        return
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        yield Fault(f"{where} is {names!r}", "a list of names", f'write {where} = ["first name", "second name"]')
    elif len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        yield Fault(f"{where} says {', '.join(map(repr, twice))} more than once", "a name for each", "tell them apart")
    elif count is not None and len(names) != count:
        owner = "observation_space (its last axis)" if key == "features" else "action_space"
        yield Fault(f"{where} has {len(names)} names", f"{count}, as {owner} has", "add or remove names")
