from .catalogue import Game as Game
from .catalogue import find_game as find_game
from .catalogue import list_games as list_games
from .errors import HeadstartError as HeadstartError
from .interface import Interface as Interface
from .task import Change as Change
from .task import Task as Task
from .vector import make_vec as make_vec
