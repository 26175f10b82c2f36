"""Where position words look (Figure 3): on maps made by hand, and against direct computations."""

import numpy as np
import pytest
import torch

from maaf_lab.analysis.avoidance import avoidance
from maaf_lab.analysis.positions import POSITIONS, PositionMaps, cell_shares, position_maps
from maaf_lab.analysis.word_groups import word_groups
from maaf_lab.data.datasets.css import CSS
from maaf_lab.data.split import Split
from maaf_lab.data.text import tokenize
from maaf_lab.data.transforms import build_transform
from maaf_lab.errors import ConfigError
from maaf_lab.synthetic.css.dataset import load_sidecar


def flat(side=9):
    return {word: np.ones((side, side)) for word in POSITIONS}


def contrast(maps):
    return PositionMaps(maps, dict.fromkeys(POSITIONS, 5)).contrast().set_index("word")


def test_nine_words():
    assert POSITIONS[0] == "top-left" and POSITIONS[4] == "middle-center" and POSITIONS[8] == "bottom-right"
    assert len(set(POSITIONS)) == 9


@pytest.mark.parametrize("side", [3, 7, 9, 14])
def test_shares_of_a_cell(side):
    share = cell_shares(side)
    assert share.shape == (3, side)
    assert np.allclose(share.sum(1), 1)
    assert np.allclose(share.sum(0), 3 / side)  # every token belongs to the cells in equal measure
    assert np.allclose(share, share[::-1, ::-1])
    if side == 7:
        assert np.allclose(share[0] * 7, [3, 3, 1, 0, 0, 0, 0])
        assert np.allclose(share[1] * 7, [0, 0, 2, 3, 2, 0, 0])


@pytest.mark.parametrize("side", [7, 9, 14])
def test_even_attention_has_no_contrast(side):
    table = contrast(flat(side))
    assert list(table.index) == list(POSITIONS)
    assert np.allclose(table["ratio"], 1) and np.allclose(table["inside"], 1) and (table["examples"] == 5).all()


@pytest.mark.parametrize("word", POSITIONS)
def test_a_dark_cell_is_found_at_its_own_word_only(word):
    """One cell is dark in all nine maps: the word that names it is below one, the others above."""
    n, maps = POSITIONS.index(word), flat()
    for values in maps.values():
        values[3 * (n // 3) : 3 * (n // 3) + 3, 3 * (n % 3) : 3 * (n % 3) + 3] = 0.2
    table = contrast(maps)
    assert table.loc[word, "inside"] == pytest.approx(0.2) and table.loc[word, "others"] == pytest.approx(1)
    assert table.loc[word, "ratio"] == pytest.approx(0.2)
    assert (table["ratio"].drop(word) > 1).all()


def test_words_that_no_example_has_do_not_shift_the_others():
    maps = {"bottom-right": np.ones((9, 9))}
    maps["bottom-right"][6:, 6:] = 0.5
    table = contrast(maps)
    assert list(table.index) == ["bottom-right"] and table.loc["bottom-right", "ratio"] == pytest.approx(0.5)


def test_maps_equal_a_direct_computation(made_model, css_test, css_test_cache):
    model = made_model("maaf")
    found = position_maps(model, css_test, css_test_cache, chunk=64, progress=False)
    assert list(found.maps) == list(POSITIONS) and all(values.shape == (7, 7) for values in found.maps.values())
    prepare = build_transform("plain", 56)
    sums, counts = {}, dict.fromkeys(POSITIONS, 0)
    spoken = [(q, word) for q in css_test.queries for word in POSITIONS if word in q.texts[0].split()]
    one = spoken[0]
    for q, word in spoken:
        if word != one[1]:
            counts[word] += 1
            continue
        with torch.no_grad():
            images = prepare.eval(css_test_cache.batch([q.source]))
            _, record = model.embed_query(images, q.texts, return_attention=True)
        place = 49 + tokenize(q.texts[0]).index(tokenize(word)[0])
        looks = sum(record.weights[0, 0, head, place, :49] for head in range(4)) / 4
        sums[word] = sums.get(word, 0) + looks.reshape(7, 7).double().numpy()
        counts[word] += 1
    assert found.counts == counts and sum(counts.values()) > 100
    assert np.allclose(found.maps[one[1]], sums[one[1]] / counts[one[1]], atol=1e-6)
    assert 0 < found.maps[one[1]].sum() < 1  # the rest of a word's attention goes to words


@pytest.mark.parametrize("attention", ["softmax", "identity"])
def test_one_example_alone(made_model, css_test, css_test_cache, attention):
    q = next(q for q in css_test.queries if "bottom-left" in q.texts[0].split())
    model = made_model("maaf", **{"model.attention": attention, "model.blocks": 2})
    found = position_maps(model, Split("one", css_test.images, [q]), css_test_cache, block=1, progress=False)
    assert list(found.maps) == ["bottom-left"] and found.counts["bottom-left"] == 1
    with torch.no_grad():
        images = build_transform("plain", 56).eval(css_test_cache.batch([q.source]))
        _, record = model.embed_query(images, q.texts, return_attention=True)
    word = tokenize(q.texts[0]).index("bottomleft")
    assert np.allclose(found.maps["bottom-left"], record.words_to_image()[1, 0, :, word].mean(0).numpy(), atol=1e-6)


def test_a_system_without_attention_is_refused(made_model, tiny_css, css_test, css_test_cache):
    with pytest.raises(ConfigError, match="tirg has no attention"):
        position_maps(made_model("tirg"), css_test, css_test_cache, progress=False)
    with pytest.raises(ConfigError, match="tirg has no attention"):
        word_groups(made_model("tirg"), css_test, css_test_cache, "position")
    scenes, sidecar = CSS(tiny_css).objects("test"), load_sidecar(tiny_css, "test")
    with pytest.raises(ConfigError, match="tirg has no attention"):
        avoidance(made_model("tirg"), css_test, css_test_cache, scenes, sidecar, progress=False)
