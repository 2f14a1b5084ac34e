"""Batched grid worlds with MiniGrid's observations, actions and rewards, and dials that turn one into another."""
