"""python -m maaf_lab: the same as the maaf-lab command."""

from maaf_lab.cli import main

if __name__ == "__main__":
    main()
