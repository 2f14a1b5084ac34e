"""What is played: games, their vectorisation, their customisation and their checks.

Importing this registers our games with Gymnasium if Gymnasium is loaded already (else `gymnasium.make` finds them as
``envs:headstart/CartPole-v1``). Public names are loaded when first used, so that listing the games stays light.
"""

import sys

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "gymnasium" in sys.modules:
    from envs.registration import register_games

    register_games()
