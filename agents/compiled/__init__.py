"""The learners' arithmetic on a CPU, compiled: small networks forward and backward, losses, the optimiser's step.

A minibatch of a small network costs PyTorch more in calls than in arithmetic. Here an epoch is one call, rows pass
through all layers in chunks that stay in the cache, and symbols never become 0/1 planes. Networks that this room does
not know, and other devices, take the learners' own way through PyTorch, which has the same numbers to float tolerance.
"""
