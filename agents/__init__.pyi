from .config import Evaluation as Evaluation
from .config import RunConfig as RunConfig
from .hooks import Hooks as Hooks
from .policy import Policy as Policy
from .policy import load_policy as load_policy
from .training import train as train
