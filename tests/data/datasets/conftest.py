"""Shared by the tests of the published layouts."""

import pytest

from maaf_lab.errors import DataError


@pytest.fixture
def wrong_folders(tmp_path):
    """wrong_folders(FashionIQ, root, "github.com", "captions", ...): a near folder names the root, none says what to get."""

    def check(dataset, root, source, *below, split="test"):
        with pytest.raises(DataError, match=rf"no such folder.*{source}"):
            dataset(tmp_path / "nowhere").load(split)
        for folder in (root.parent, *(root / name for name in below)):  # one level too high, and too low
            with pytest.raises(DataError) as error:
                dataset(folder).load(split)
            assert f"{root} holds it: pass that folder" in str(error.value)

    return check


@pytest.fixture
def no_image_folder():
    """no_image_folder(CSS, root, "the annotation's name"): without its images, a dataset says what it found and what it lacks."""

    def check(dataset, root, annotation, split="test"):
        (root / dataset.image_folder).rename(root / "elsewhere")
        with pytest.raises(DataError, match=rf"found {annotation} but no folder {dataset.image_folder}/. What to get"):
            dataset(root).load(split)

    return check
