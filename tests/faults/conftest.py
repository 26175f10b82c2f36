"""What every line of the battery works with."""

import pytest
from faults.battery import Lab


@pytest.fixture
def lab(tmp_path, shell, tiny_css, trained):
    return Lab(tmp_path, shell, tiny_css, trained("text_only").folder)
