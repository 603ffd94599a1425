"""`python -m cofront` is the command `cofront`."""

from cofront.cli import main

if __name__ == "__main__":
    main()
