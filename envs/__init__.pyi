from .catalogue import Game as Game, find_game as find_game, list_games as list_games
from .errors import HeadstartError as HeadstartError
from .interface import Interface as Interface
from .task import Change as Change, Task as Task
from .vector import make_vec as make_vec
