"""`python -m transfer` is `headstart`."""

from transfer.cli.app import main

if __name__ == "__main__":
    main()
