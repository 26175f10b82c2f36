"""The flat drawings of CSS: drawn beside any copy, loaded alone and as references for the rendered gallery."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from maaf_lab.data import registry as datasets
from maaf_lab.data.datasets.css import CSS, IMAGES_2D, image_name
from maaf_lab.errors import DataError
from maaf_lab.retrieval.gallery import rank
from maaf_lab.synthetic.css.dataset import make_css2d
from maaf_lab.synthetic.css.flat import flat


@pytest.fixture(scope="module")
def both(tmp_path_factory, tiny_css):
    root = tmp_path_factory.mktemp("flat") / "css"
    shutil.copytree(tiny_css, root, ignore=shutil.ignore_patterns(".cache"))
    return make_css2d(root, 32, progress=False)


def test_a_drawing_shows_what_is_there():
    thing = {"shape": "cube", "color": "red", "size": "large", "pos": (0.2, 0.7)}
    picture = flat([thing], 64).astype(int)
    red = (picture[..., 0] > 200) & (picture[..., 1] < 60)
    rows, columns = np.nonzero(red)
    assert abs(rows.mean() / 64 - 0.2) < 0.02 and abs(columns.mean() / 64 - 0.7) < 0.02
    assert (picture[~red] > 120).any(1).all() and (flat([], 16) == 255).all()
    others = ({"size": "small"}, {"shape": "sphere"}, {"shape": "triangle"})
    small, ball, roof = (flat([{**thing, **change}], 64) for change in others)
    area = [int((p[..., 1] < 128).sum()) for p in (small, roof, ball, picture)]
    assert area == sorted(area) and len(set(area)) == 4  # a triangle covers half of its box, a disc three quarters


def test_flat_alone(both):
    split = datasets.load("css2d", both, "test")
    three = datasets.load("css", both, "test")
    assert [i.label for i in split.images] == [i.label for i in three.images]
    assert split.queries == three.queries and split.images[0].path.parent.name == IMAGES_2D
    assert PILImage.open(split.images[0].path).size == (32, 32)
    assert (np.asarray(PILImage.open(split.images[5].path)) == flat(CSS(both).objects("test")[5], 32)).all()
    assert datasets.check("css2d", both, progress=False).complete


def test_flat_references_and_a_rendered_gallery(both):
    split, three = datasets.load("css2d3d", both, "test"), datasets.load("css", both, "test")
    n = len(three.images)
    assert len(split.images) == 2 * n and len({i.id for i in split.images}) == 2 * n
    for q, like in zip(split.queries, three.queries, strict=True):
        assert (q.source, q.target, q.exclude, q.texts) == (n + like.source, like.target, (like.source,), like.texts)
    assert datasets.check("css2d3d", both, progress=False).complete

    gallery = torch.zeros(2 * n, 3)
    gallery[:, 0] = 1
    queries = torch.zeros(len(split.queries), 3)
    queries[:, 0] = 1
    found = rank(queries, gallery, split, keep=n, progress=False).frame  # every picture ties: the order is the split's
    for i in (0, 100):
        q = split.queries[i]
        expected = [image.id for k, image in enumerate(split.images[:n]) if k != q.exclude[0]]
        assert list(found["top"][i]) == expected
        first = min(k for k, image in enumerate(split.images[:n]) if image.label == q.target_label and k != q.exclude[0])
        assert found["rank"][i] == expected.index(split.images[first].id) + 1


def test_what_is_missing(both, tmp_path):
    root = tmp_path / "css"
    shutil.copytree(both, root)
    (root / IMAGES_2D / image_name("test", 3)).unlink()
    with pytest.raises(DataError, match=r"CSS 2D test: 1 of 360 images missing \(first: css_test_000003\.png\)"):
        datasets.load("css2d", root, "test")
    skipped = datasets.load("css2d3d", root, "test", "skip")
    lost = sum(q.source == 3 for q in datasets.load("css", root, "test").queries)
    assert len(skipped.queries) == 320 - lost and len(skipped.images) == 719
    assert all(skipped.images[q.source].label == skipped.images[q.exclude[0]].label for q in skipped.queries)
    shutil.rmtree(root / IMAGES_2D)
    with pytest.raises(DataError, match=r"no folder images_2d/.*maaf-lab make css2d --out ROOT"):
        datasets.load("css2d", root, "test")
    with pytest.raises(DataError, match="no such folder"):
        make_css2d(tmp_path / "nowhere", progress=False)
