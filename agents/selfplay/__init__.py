"""Playing against somebody who learns: networks as opponents, the league of the learner's own past, and matches."""
