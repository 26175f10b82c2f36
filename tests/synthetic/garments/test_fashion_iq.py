"""Synthetic Fashion IQ: galleries of families, annotations that follow the seed, pictures of their own garments."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image as PILImage
from synthetic_files import PIXELS, hashes

from maaf_lab.data.datasets.fashion_iq import FashionIQ
from maaf_lab.errors import DataError
from maaf_lab.synthetic.garments import fashion200k, fashion_iq
from maaf_lab.synthetic.garments.attributes import differences
from maaf_lab.synthetic.garments.fashion200k import make_fashion200k
from maaf_lab.synthetic.garments.fashion_iq import make_fashion_iq, read_attributes


@pytest.fixture(scope="module")
def made_iq(drawn):
    return drawn("fashion_iq")


def test_full_fashion_iq_counts(val):
    assert [len(val.galleries[c]) for c in fashion_iq.CATEGORIES] == [2760] * 3
    assert [len(val.queries[c]) for c in fashion_iq.CATEGORIES] == [2000] * 3
    shared = set(val.galleries["shirt"]) & set(val.galleries["toptee"])
    assert len(val.garments) == 3 * 2760 - len(shared) and 40 < len(shared) < 80
    for category in fashion_iq.CATEGORIES:
        gallery, queries = val.galleries[category], val.queries[category]
        assert len(set(gallery)) == len(gallery) and len({val.garments[asin] for asin in gallery}) == len(gallery)
        assert len({q.target for q in queries}) == 2000 and all(q.candidate != q.target for q in queries)
        assert {q.candidate for q in queries} | {q.target for q in queries} <= set(gallery)
        steps = [len(differences(val.garments[q.candidate], val.garments[q.target])) for q in queries]
        assert 2 < np.mean(steps) < 3.5 and min(steps) >= 1


def test_annotations_follow_the_seed():
    one = fashion_iq.make_split("val", "tiny", 3)
    assert one == fashion_iq.make_split("val", "tiny", 3) != fashion_iq.make_split("val", "tiny", 4)
    asins = [asin for split in fashion_iq.SPLITS for asin in fashion_iq.make_split(split, "tiny", 3).garments]
    assert len(asins) == len(set(asins)) and all(re.fullmatch("B00[A-Z0-9]{7}", asin) for asin in asins)
    assert fashion200k.make_split("test", "tiny", 3) == fashion200k.make_split("test", "tiny", 3)
    text = json.dumps([[q.candidate, q.target, *q.captions] for queries in one.queries.values() for q in queries])
    text += json.dumps([[p.path, p.caption, p.score] for p in fashion200k.make_split("test", "tiny", 3)])
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "75eeb4c1c48f"  # a change means that VERSION goes up


def test_pictures_do_not_depend_on_the_order_in_which_they_are_drawn(tmp_path, monkeypatch):
    """The same bytes when everything is drawn backward, other bytes for another seed."""
    monkeypatch.setitem(fashion_iq.DATASET_SIZES, "tiny", {"train": (1, 10), "val": (1, 5), "test": (1, 5)})
    monkeypatch.setitem(fashion200k.DATASET_SIZES, "tiny", {"train": 30, "test": 30})
    monkeypatch.setitem(fashion200k.TEST_QUERIES, "tiny", 10)
    for module, make in ((fashion_iq, make_fashion_iq), (fashion200k, make_fashion200k)):
        one, other = (make(tmp_path / f"{make.__name__}{seed}", "tiny", 16, seed, progress=False, workers=1) for seed in (3, 4))
        with monkeypatch.context() as patch:
            patch.setattr(module, "in_processes", lambda function, jobs, *_, **__: map(function, reversed(jobs)))
            backwards = make(tmp_path / f"{make.__name__}-backwards", "tiny", 16, 3, progress=False)
        assert hashes(one) == hashes(backwards) and not set(hashes(one).values()) & set(hashes(other).values())


def test_fashion_iq_loads(made_iq):
    layout = FashionIQ(made_iq)
    split, test = layout.load("val"), layout.load("test")
    assert (
        split.origin == f"synthetic fashion_iq v{fashion_iq.VERSION} size=tiny pixels={PIXELS} seed=3"
        and len(split.queries) == 90
    )
    assert all(len(q.texts) == 2 and q.target is not None for q in split.queries)
    assert any(image.categories == ("shirt", "toptee") for image in split.images)
    assert len(test.queries) == 45 and all(q.target_label is None for q in test.queries)
    report = layout.check(progress=False)
    assert not report.problems and [row.queries for row in report.rows] == [180, 90, 45]
    assert all(row.images == row.published_images for row in report.rows)
    shown = read_attributes(made_iq / "attributes.json")
    assert {image.id for s in layout.splits for image in layout.load(s).images} == set(shown)
    query = split.queries[0]
    assert differences(shown[split.images[query.source].id], shown[split.images[query.target].id])
    with PILImage.open(split.images[0].path) as image:
        assert image.format == "JPEG" and image.size == (PIXELS, PIXELS)


def test_pictures_show_their_own_garment(made_iq):
    """The sidecar is about the right file: plain black and plain white garments differ in their middle."""
    shown = read_attributes(made_iq / "attributes.json")

    def middle(name):
        picked = [asin for asin, g in shown.items() if g.color == name and g.pattern == "solid"]
        return [np.asarray(PILImage.open(made_iq / "images" / f"{asin}.jpg"))[16:19, 14:18].mean() for asin in picked]

    assert len(middle("black")) > 5 and np.mean(middle("black")) < 90 and np.mean(middle("white")) > 190


def test_a_folder_that_lost_an_image(made_iq, tmp_path):
    copy = shutil.copytree(made_iq, tmp_path / "copy")
    next((copy / "images").iterdir()).unlink()
    with pytest.raises(DataError, match="images"):
        make_fashion_iq(copy, "tiny", PIXELS, seed=3, progress=False)


def test_a_split_that_comes_with_the_lab_is_the_one_that_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_iq, "SHIPPED", tmp_path)
    assert fashion_iq.shipped_split("val", "tiny", 0) is None
    made = fashion_iq.make_split("val", "tiny", 0)
    fashion_iq.save_split(tmp_path / "shop-val-tiny-0.json.gz", made)
    assert fashion_iq.shipped_split("val", "tiny", 0) == made
