"""Shared by the tests of synthetic datasets: the settings they are drawn with, and what a folder holds."""

import hashlib

PIXELS, SEED = 32, 3  # of conftest's `drawn`


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
