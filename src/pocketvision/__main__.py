"""`python -m pocketvision`."""

from pocketvision.cli.main import main

if __name__ == "__main__":
    main()
