"""`headstart train GAME`: train agents, one run a seed."""

from typing import Annotated

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption, SetOption


def train(
    game: Annotated[str, typer.Argument(help="A game: see `headstart games`.")],
    algo: Annotated[
        str, typer.Option("--algo", help="ppo, dqn, a2c, sac, td3, ddpg, or one of sb3-contrib's.")
    ] = "ppo",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Budget of each run, in transitions.")] = 100_000,
    seeds: Annotated[str, typer.Option("--seeds", help="How many seeds from 0, or a list: 0,3,7.")] = "1",
    settings: SetOption = None,
    change: ChangeOption = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, help="Steps between evaluations; else a fortieth of the budget.")
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of an evaluation.")] = 20,
    device: Annotated[str, typer.Option("--device", help="Torch device.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Train agents on a game, one run a seed. A run that is finished already is not trained again."""
    if algo == "ppo":
        from agents.compiled import ahead

        ahead.start()
    from agents.algorithms import resolve
    from agents.config import Evaluation, RunConfig
    from agents.runs import runs_root
    from envs.task import Task
    from transfer.cli.console import emit_json, parse_settings, say
    from transfer.cli.running import parse_seeds, summary, train_with_progress

    task = Task.customised(game, parse_settings(change))
    hyperparameters = resolve(task, algo, parse_settings(settings))
    finished = []
    for seed in parse_seeds(seeds):
        config = RunConfig(
            task=task,
            algorithm=algo,
            hyperparameters=hyperparameters,
            steps=steps,
            seed=seed,
            evaluation=Evaluation(every=every, episodes=episodes),
            threads=threads,
            device=device,
        ).with_sources()
        run = train_with_progress(config, runs_root(runs), silent=json)
        finished.append(summary(run))
        if not json:
            say(f"seed {seed}: {finished[-1]['first']:.2f} → {finished[-1]['last']:.2f}   {run.path}")
    if json:
        emit_json({"runs": finished})
