"""One torch thread: these tests run beside others."""

import torch

torch.set_num_threads(1)
