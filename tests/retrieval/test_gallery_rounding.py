"""A gallery's vectors on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maaf_lab.errors import LabError
from maaf_lab.retrieval.gallery_rounding import read_gallery, save_gallery


def test_a_gallery_on_disk(tmp_path):
    vectors = torch.nn.functional.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=1).numpy()
    save_gallery(vectors, tmp_path / "g.npz")
    assert np.abs(read_gallery(tmp_path / "g.npz") - vectors).max() < 2e-5
    (tmp_path / "g.npz").write_bytes(b"torn")
    with pytest.raises(LabError, match=r"g\.npz: expected a gallery's vectors, found damage"):
        read_gallery(tmp_path / "g.npz")
