"""Games in which players take turns: boards in batches, opponents, and a VecEnv in which one learner plays them."""
