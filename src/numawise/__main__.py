"""`python -m numawise`."""

import sys

from numawise.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
