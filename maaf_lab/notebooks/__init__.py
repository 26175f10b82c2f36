"""Running, checking and cleaning notebooks: for the command line, the tests and whoever runs papermill directly.

A notebook has one cell tagged `parameters`, of plain `name = literal` lines only, and the next code cell starts with
`check_parameters()`. Then a misspelt parameter is an error on every path: `execute` refuses it before anything runs, and
papermill called directly (which only warns) fails at that cell.
"""

from maaf_lab.notebooks.cleaning import clean
from maaf_lab.notebooks.files import NotebookError
from maaf_lab.notebooks.pages import NOT_ON_A_PAGE, to_article, to_html
from maaf_lab.notebooks.parameters import PARAMETERS_TAG, check_parameters, declared_parameters
from maaf_lab.notebooks.run import Executed, check_kernel, execute, main, refresh

__all__ = [
    "NOT_ON_A_PAGE",
    "PARAMETERS_TAG",
    "Executed",
    "NotebookError",
    "check_kernel",
    "check_parameters",
    "clean",
    "declared_parameters",
    "execute",
    "main",
    "refresh",
    "to_article",
    "to_html",
]
