"""`python -m ringkey` is the command `ringkey`."""

from ringkey.cli import main

if __name__ == "__main__":
    main()
