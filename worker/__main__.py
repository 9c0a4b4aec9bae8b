"""`python -m worker` is `tidings`."""

from worker.cli import main

if __name__ == "__main__":
    main()
