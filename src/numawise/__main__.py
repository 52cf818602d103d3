"""`python -m numawise`."""

from numawise.cli.main import console

if __name__ == "__main__":
    console()
