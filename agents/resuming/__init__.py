"""Exact resuming: what a training saves at its boundaries, and how it goes on from there (`docs/resuming.md`).

A boundary is the moment before a learner collects: on policy between two rollouts, off policy between two rounds of
collecting and training. Nothing is under way then but episodes.
"""
