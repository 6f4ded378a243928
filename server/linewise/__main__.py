"""`python -m linewise`: the `linewise` command."""

from linewise.cli import main

if __name__ == "__main__":
    main()
