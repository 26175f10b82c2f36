"""The figures on Fashion IQ (1, 4, 6, S1, S2)."""

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.analysis.clusters import largest_cluster
from maaf_lab.analysis.retrievals import pick_queries
from maaf_lab.analysis.sentences import against_other_words, by_third, sentence_attention
from maaf_lab.data.images import decode
from maaf_lab.data.text import join, tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.paper.figures import open_figures
from maaf_lab.paper.garment_figures import Structure
from maaf_lab.retrieval.rankings import Rankings
from maaf_lab.synthetic.garments.fashion_iq import redraw


@pytest.fixture(scope="module")
def garments(garment_roots, tmp_path_factory):
    where = {**garment_roots, "out": tmp_path_factory.mktemp("out")}
    return open_figures("fashion_iq", profile="smoke", steps=3, device="cpu", **where)


def test_the_matrix_is_the_models_own(garments):
    with pytest.raises(ConfigError, match="expected a query from 0 to 89 and a block from 0 to 1, found query 90, block 2"):
        garments.structure(query=90, block=2)
    found, query = garments.structure(query=2), garments.split.queries[2]
    words = tokenize(join(query.texts))
    n = 49 + 196 + len(words)
    assert found.weights.shape == (n, n) and found.tokens[-len(words) :] == tuple(words)
    assert found.spans == {"7x7": (0, 49), "14x14": (49, 245), "text": (245, n)}
    assert np.allclose(found.weights.sum(1), 1, atol=1e-5)
    shares = found.shares()
    assert list(shares.index) == ["7x7", "14x14", "text", "even"] and np.allclose(shares.sum(axis=1), 100)
    assert shares.loc["text", "7x7"] == pytest.approx(100 * found.weights[245:, :49].sum(1).mean(), rel=1e-5)
    signed = Structure(np.array([[-1.0, 3.0], [1.0, 1.0]]), ("a", "b"), {"7x7": (0, 1), "text": (1, 2)}).shares()
    assert signed.loc["7x7"].tolist() == [25, 75] and signed.loc["even"].tolist() == [50, 50]


def test_clusters_are_of_the_category(garments):
    found = garments.clusters(show=3)
    assert list(found) == ["dress", "toptee", "shirt"]
    for category, part in found.items():
        own = [i for i, image in enumerate(garments.split.images) if category in image.categories]
        assert part.count == len(own) >= part.cluster_count >= len(own) / 5 and part.first.shape == (3, 56, 56, 3)
        mean = np.mean([garments.cache.image(i).astype(float) for i in own], 0)
        assert np.abs(part.mean - mean).max() <= 0.5
    with pytest.raises(ConfigError, match="expected at least 5 images for 5 clusters, found 2"):
        largest_cluster(garments.cache, np.arange(2))


def test_a_sentence_is_put_to_the_cluster(garments):
    found = garments.sentence("dress: is a *longer* dress", images=6)
    assert found.sentence == ("dress", ("is", "a", "longer", "dress"), 2) and found.count == 6
    assert found.maps.shape == (2, 4, 4, 14, 14)  # blocks, heads, words, rows, columns
    part = garments.cluster("dress")[:6]
    image = build_transform("plain", 56).eval(garments.cache.batch(part[:1]))
    _, record = garments.model.embed_query(image, ["is a longer dress"], return_attention=True)
    one = sentence_attention(garments.model, garments.cache, part[:1], "is a longer dress")
    assert np.allclose(one, record.words_to_image("14x14")[:, 0].detach().numpy(), atol=1e-6)
    each = [sentence_attention(garments.model, garments.cache, part[i : i + 1], "is a longer dress") for i in range(6)]
    assert np.allclose(found.maps, np.mean(each, 0), atol=1e-6), "the mean over pictures"
    signed = against_other_words(found.maps, 2)
    assert np.allclose(signed, found.maps[:, :, 2] - found.maps[:, :, [0, 1, 3]].mean(2))
    assert by_third(signed[0]).sum() == pytest.approx(100 * signed[0].sum((-2, -1)).mean(), abs=1e-4)
    assert np.abs(against_other_words(found.maps[:, :, :1], 0).mean()) < 1e-6, "a word alone: less its own mean"


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("is a *longer* dress", 'expected "category: a sentence'),
        ("dress: is longer", "one \\*marked\\* word"),
        ("dress: *is* *longer*", "one \\*marked\\* word"),
        ("dress: is -- *longer*", "one \\*marked\\* word"),
        ("hats: is *longer*", "expected a category of Fashion IQ .* found 'hats'"),
        ("dress: is *xylophone*", "expected words of the training texts, found 'xylophone'"),
    ],
)
def test_a_sentence_that_cannot_be_asked(garments, sentence, message):
    with pytest.raises(ConfigError, match=message):
        garments.sentence(sentence)


def test_retrievals_show_what_was_ranked(garments, garment_roots, tmp_path, request):
    found, frame = garments.retrievals(4, 3, pixels=48), garments.rankings.frame
    chosen = pick_queries(garments.rankings, 4)
    assert len(chosen) == len(set(chosen)) == 4 and chosen == sorted(chosen)
    for item, q in zip(found, chosen, strict=True):
        assert item.texts == garments.split.queries[q].texts and item.rank == frame["rank"].iloc[q]
        assert item.relevant == tuple(place == item.rank for place in (1, 2, 3))
        (drawn,) = redraw([frame["top"].iloc[q][0]], "val", "tiny", 48)
        PILImage.fromarray(drawn).save(tmp_path / "drawn.jpg", quality=92)
        assert np.array_equal(item.results[0], decode(tmp_path / "drawn.jpg"))
    request.getfixturevalue("no_training")  # without data and runs, nothing can be ranked again but by training
    again = open_figures(
        "fashion_iq",
        profile="smoke",
        steps=3,
        records=garment_roots["runs_root"],
        runs_root=tmp_path / "none",
        data_root=tmp_path / "none",
    )
    assert [item.texts for item in again.retrievals(4, 3, pixels=48)] == [item.texts for item in found]
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="expected 91 queries, found 90 of 90; ask for fewer"):
        pick_queries(Rankings(frame, ""), 91)
    with pytest.raises(ConfigError, match="at least 1 query to show, found 0"):
        pick_queries(Rankings(frame, ""), 0)
    ranked = Rankings(frame.assign(rank=[3, 1, 0, *[9] * 87]), "")
    assert pick_queries(ranked, 2, within=3) == [0, 1]
    with pytest.raises(ConfigError, match="3 queries with a relevant image among the first 3, found 2"):
        pick_queries(ranked, 3, within=3)


def test_a_made_picture_is_drawn_as_it_was(garments):
    """`redraw` at the size of the files gives the files, but for JPEG."""
    some = garments.split.images[:3]
    for image, drawn in zip(some, redraw([image.id for image in some], "val", "tiny", 64), strict=True):
        assert np.abs(decode(image.path).astype(int) - drawn).mean() < 4
    with pytest.raises(DataError, match="no picture 'B00'"):
        redraw(["B00"], "val", "tiny")
