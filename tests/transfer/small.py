"""A small study from CartPole to a longer pole, as the text of its file."""

SMALL = "set = { n_envs = 2, n_steps = 32, batch_size = 64, n_epochs = 2 }"


def small_study(
    name: str, *, seeds: int = 2, source: tuple[int, int] = (128, 128), target: tuple[int, int] = (256, 128)
) -> str:
    """Scratch and finetune; of source and target the budget, and the steps between evaluations."""
    return f"""
name = "{name}"
seeds = {seeds}
[source]
game = "headstart/CartPole-v1"
steps = {source[0]}
evaluation = {{ every = {source[1]}, episodes = 2 }}
{SMALL}
[target]
game = "headstart/CartPoleLong-v1"
steps = {target[0]}
{SMALL}
[evaluation]
every = {target[1]}
episodes = 2
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""
