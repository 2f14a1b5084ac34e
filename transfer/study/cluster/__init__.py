"""Places beyond this machine: a Ray cluster, and Slurm through submitit."""
