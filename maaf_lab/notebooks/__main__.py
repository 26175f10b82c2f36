"""`python -m maaf_lab.notebooks`."""

import sys

from maaf_lab.errors import LabError
from maaf_lab.notebooks.run import main

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(str(error))
