"""Galleries as 16-bit numbers: every rank is kept, in memory and on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from galleries import split_of, vectors_of

from maaf_lab.errors import LabError
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.gallery_rounding import read_gallery, restored, rounded, save_gallery


def test_rounded_galleries_keep_every_rank():
    queries, vectors = vectors_of(8, 1500, 1000, 16, "random")
    split = split_of("split", 1500, 1000)
    plain, kept = rounded(vectors.numpy()), rounded(vectors.numpy(), queries.numpy(), split)
    first, second, third = (
        rank(queries, torch.from_numpy(gallery), split, progress=False).column("rank")
        for gallery in (vectors.numpy(), restored(plain), restored(kept))
    )
    assert (second != first).any() and np.array_equal(third, first)
    exact = vectors.numpy() / (np.abs(vectors.numpy()).max() / 32767)
    assert kept.dtype == np.int16 and np.abs(kept - exact).max() < 1 and (kept != plain).sum() < 0.05 * kept.size


def test_a_rounding_that_cannot_keep_ranks_says_so(monkeypatch):
    monkeypatch.setattr("maaf_lab.retrieval.gallery_rounding.MARGIN", 1e-3)
    queries, vectors = vectors_of(8, 400, 300, 16, "random")
    with pytest.raises(LabError, match="keep this gallery as 32-bit numbers"):
        rounded(vectors.numpy(), queries.numpy(), split_of("split", 400, 300))


def test_a_gallery_on_disk(tmp_path):
    vectors = torch.nn.functional.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=1).numpy()
    save_gallery(vectors, tmp_path / "g.npz")
    assert np.abs(read_gallery(tmp_path / "g.npz") - vectors).max() < 2e-5
    (tmp_path / "g.npz").write_bytes(b"torn")
    with pytest.raises(LabError, match=r"g\.npz: expected a gallery's vectors, found damage"):
        read_gallery(tmp_path / "g.npz")
