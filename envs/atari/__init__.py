"""Atari 2600 games in the Arcade Learning Environment, by the protocol of Machado et al. 2018."""
