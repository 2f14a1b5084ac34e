from .mapping import Mapping as Mapping
from .method import Method as Method
from .method import MethodSettings as MethodSettings
from .study.execute import run_study as run_study
