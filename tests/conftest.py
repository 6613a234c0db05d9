"""Settings of the whole test run."""

import torch

# The tests' tensors are small: on a machine shared with others, threads that wait for each other
# cost ten times more than they bring.
torch.set_num_threads(1)
