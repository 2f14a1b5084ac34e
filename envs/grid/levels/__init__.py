"""What the worlds look like: a compiled generator a family, and its description in plain Python."""
