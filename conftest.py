"""Tests and compared notebooks have a home of their own: what a user keeps in data/, runs/, figures/ is not read or written."""

import os
import tempfile


def pytest_configure(config):
    """One fresh folder for the whole run, so that what is drawn once serves everybody; it goes when the run ends."""
    if not hasattr(config, "workerinput"):  # a worker of xdist has the home of the process that started it
        home = tempfile.TemporaryDirectory(prefix="maaf-lab-", ignore_cleanup_errors=True)
        os.environ["MAAF_LAB_HOME"] = home.name
        config.add_cleanup(home.cleanup)
