"""The way into `headstart`: Ctrl-C is answered while the verbs are still being imported, too."""

import os
import sys


def main() -> None:
    """Run the command line; never returns."""
    try:
        from transfer.cli.app import main as verbs
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)
    verbs()
