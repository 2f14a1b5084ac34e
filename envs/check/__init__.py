"""Every check a game must pass before it is learnt, and what its author should do where it fails one."""

from envs.check.games import check_game, check_made
from envs.check.report import Fault, Report

__all__ = ["Fault", "Report", "check_game", "check_made"]
