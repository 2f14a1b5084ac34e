"""`python -m transfer` is `headstart`."""

from transfer.cli.start import main

if __name__ == "__main__":
    main()
