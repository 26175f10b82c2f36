"""Where words look and what heads are worth: on maps made by hand, and against direct computations."""

import numpy as np
import pytest
import torch

from maaf_lab.analysis.avoidance import avoidance, coverage, describing_words
from maaf_lab.analysis.colors import FIGURE_5, color_images
from maaf_lab.analysis.heads import attentions, head_ablation, without_head
from maaf_lab.analysis.positions import POSITIONS, PositionMaps, cell_shares, position_maps
from maaf_lab.analysis.word_attention import WordMap
from maaf_lab.analysis.word_groups import word_groups
from maaf_lab.data.datasets.css import CSS
from maaf_lab.data.datasets.css_scenes import COLORS, described_color, parse_modification
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


# --- colour words (Figure 5) ------------------------------------------------------------------------------------------


def test_colors_that_describe_the_reference():
    told = {
        "remove red cube": "red",
        "make red cube small": "red",
        "make red cube blue": "red",
        "make cube red": None,
        "add red cube to top-left": None,
        "remove cube": None,
    }
    assert {text: described_color(text) for text in told} == told


def test_color_images_equal_a_direct_computation(made_model, css_test, css_test_cache):
    model = made_model("maaf")
    found = color_images(model, css_test, css_test_cache, chunk=50, progress=False)
    prepare = build_transform("plain", 56)
    images, counts = {}, dict.fromkeys(COLORS, 0)
    for q in css_test.queries:
        color = described_color(q.texts[0])
        if color is None:
            continue
        with torch.no_grad():
            _, record = model.embed_query(prepare.eval(css_test_cache.batch([q.source])), q.texts, return_attention=True)
        looks = record.words_to_image()[0, 0, :, tokenize(q.texts[0]).index(color)].mean(0).double().numpy()
        weighted = (1 - np.kron(looks, np.ones((8, 8))))[:, :, None] * css_test_cache.image(q.source) / 255
        images[color] = images.get(color, 0) + weighted
        counts[color] += 1
    assert found.counts == {color: counts[color] for color in FIGURE_5} and sum(counts.values()) > 50
    mean = sum(images.values()) / sum(counts.values())
    for color, image in found.images.items():
        assert np.allclose(image, images[color] / counts[color] - mean, atol=1e-6)
    assert np.allclose(sum(found.images[c] * counts[c] for c in found.images), 0, atol=1e-6), "deviations from the mean"


# --- avoidance --------------------------------------------------------------------------------------------------------


def test_coverage_of_boxes():
    whole = coverage(np.array([[0, 0, 56, 56]]), 56, 7)
    assert np.allclose(whole, 1)
    part = coverage(np.array([[8, 0, 20, 8], [8, 0, 16, 8]]), 56, 7)  # the second lies in the first: counted once
    expected = np.zeros((7, 7))
    expected[0, 1], expected[0, 2] = 1, 0.5
    assert np.allclose(part, expected)
    assert coverage(np.array([[3, 5, 30, 41]]), 56, 5).sum() * (56 / 5) ** 2 == pytest.approx(27 * 36), "area is kept"


def test_words_that_describe():
    told = [(1, "position"), (2, "size"), (3, "color"), (4, "shape")]
    assert describing_words("make middle-center small red cube blue") == told
    assert describing_words("remove object") == [] == describing_words("add red cube to top-left")


def looking(monkeypatch, scenes, sidecar, towards):
    """Words look where `towards` says: 1 at their referents' tokens alone, -1 past them."""
    boxes = {}
    for image, number, box in zip(sidecar["image"], sidecar["object"], sidecar["box"], strict=True):
        boxes.setdefault(int(image), {})[int(number)] = box

    def words(model, split, cache, places_of, **_options):
        for i, q in enumerate(split.queries):
            for place in places_of(tokenize(q.texts[0])):
                fits = parse_modification(q.texts[0]).fits
                region = coverage(np.stack([boxes[q.source][n] for n, o in enumerate(scenes[q.source]) if fits(o)]), 56, 7)
                yield WordMap(i, place, ((1 + towards) / 2 * region + (1 - towards) / 2 * (region == 0))[None, None])

    monkeypatch.setattr("maaf_lab.analysis.avoidance.word_attention", words)


@pytest.mark.parametrize("towards", [1, -1])
def test_avoidance_of_a_word_that_looks_at_a_known_place(monkeypatch, made_model, tiny_css, css_test, css_test_cache, towards):
    scenes, sidecar = CSS(tiny_css).objects("test"), load_sidecar(tiny_css, "test")
    looking(monkeypatch, scenes, sidecar, towards)
    table = avoidance(made_model("maaf"), css_test, css_test_cache, scenes, sidecar, progress=False)
    assert set(table["kind"]) == {"position", "color", "shape", "size"} and (table["words"] > 20).all()
    if towards == 1:
        assert (table["score"] > 0.8).all() and (table["chance"] < 0.3).all()
    else:
        assert (table["score"] < -0.7).all() and (table["chance"] > table["score"] + 0.3).all()
    assert (table["low"] <= table["score"]).all() and (table["score"] <= table["high"]).all()


def test_avoidance_of_a_real_model(made_model, tiny_css, css_test, css_test_cache):
    scenes, sidecar = CSS(tiny_css).objects("test"), load_sidecar(tiny_css, "test")
    model = made_model("maaf", **{"model.blocks": 2})
    table = avoidance(model, css_test, css_test_cache, scenes, sidecar, progress=False)
    assert len(table) == 4 * 2 * 4 and table[["score", "chance"]].abs().max().max() <= 1
    again = avoidance(model, css_test, css_test_cache, scenes, sidecar, chunk=31, progress=False)
    assert np.allclose(table["score"], again["score"], atol=1e-5)
    with pytest.raises(ConfigError, match="expected softmax attention, found identity"):
        avoidance(made_model("maaf", **{"model.attention": "identity"}), css_test, css_test_cache, scenes, sidecar)


# --- heads ------------------------------------------------------------------------------------------------------------


def test_a_head_turned_off_adds_nothing(made_model):
    torch.manual_seed(0)
    ((name, attention),) = attentions(made_model("maaf"))
    x = torch.randn(2, 5, 32)
    before, _ = attention(x, x)
    with torch.no_grad():
        q, k, v = (m(x).unflatten(-1, (4, 8)).transpose(1, 2) for m in (attention.query, attention.key, attention.value))
        mixed = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
        mixed[:, 2] = 0
        expected = attention.out(mixed.transpose(1, 2).flatten(-2))
        with without_head(attention, 2):
            off, _ = attention(x, x)
        after, _ = attention(x, x)
    assert name == "stack.blocks.0.attention" and torch.allclose(off, expected, atol=1e-5) and not torch.allclose(off, before)
    assert torch.equal(after, before), "all comes back"
    with pytest.raises(ZeroDivisionError), without_head(attention, 0):
        raise ZeroDivisionError
    assert torch.equal(attention(x, x)[0], before), "after an error too"
    with pytest.raises(ConfigError, match="a head from 0 to 3, found 4"), without_head(attention, 4):
        pass
    with pytest.raises(ConfigError, match="image_only has no attention"):
        attentions(made_model("image_only"))


def test_head_ablation(made_model, css_test, css_test_cache):
    table = head_ablation(made_model("maaf"), css_test, css_test_cache, k=10, progress=False)
    assert set(table["kind"]) == {"all", "add", "remove", "change"} and table["head"].unique().tolist() == [0, 1, 2, 3, 4]
    whole = table[table["head"] == 0].set_index("kind")
    assert (whole["lost"] == 0).all() and whole["queries"]["all"] == len(css_test.queries)
    for _, line in table.iterrows():
        assert line["lost"] == pytest.approx(whole["recall"][line["kind"]] - line["recall"], abs=1e-9)
    sizes = whole["queries"].drop("all")
    for _, part in table.groupby("head"):
        values = part.set_index("kind")["recall"]
        assert values["all"] == pytest.approx((values.drop("all") * sizes).sum() / sizes.sum())
