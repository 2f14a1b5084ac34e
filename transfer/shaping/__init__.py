"""What reward shaping is made of: potentials, worlds whose rewards are shaped, and rewards shaped when drawn."""
