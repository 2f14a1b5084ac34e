"""What is carried from one game to another, and what it was worth. Imports `agents` and `envs`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
