"""``python -m rlopt``: the same as the ``rlopt`` command."""

from rlopt.cli.main import main

if __name__ == "__main__":
    main()
