"""Synthetic MIT-States: nouns and states show, test nouns are unseen but their states are learnable, same seed, same bytes."""

import hashlib

import numpy as np
import pytest
from PIL import Image as PILImage

from maaf_lab.data.datasets.mit_states import TEST_NOUNS as PUBLISHED_TEST_NOUNS
from maaf_lab.data.datasets.mit_states import MITStates
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.canvas import Canvas, Frame
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.states import dataset as states
from maaf_lab.synthetic.states.dataset import STATES, draw_state, load_sidecar, make_mit_states, plan
from maaf_lab.synthetic.states.effects import EFFECTS, SIZES
from maaf_lab.synthetic.states.nouns import TRAIN_NOUNS, Ink
from maaf_lab.synthetic.states.unseen_nouns import NOUNS, TEST_NOUNS

PIXELS = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
        return make_mit_states(tmp_path_factory.mktemp("made") / "states", "tiny", PIXELS, seed=3, progress=False)


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outline(noun, pixels=48):
    """Where a noun shows in its own square: bool (pixels, pixels)."""
    canvas = Canvas(pixels, "RGBA", (0, 0, 0, 0))
    canvas.frame = Frame(0.5, 0.5, 0.9)
    NOUNS[noun].draw(canvas, Ink(NOUNS[noun].colors[0]))
    return canvas.array()[..., 3] > 128


# --- the plan -----------------------------------------------------------------------------------------------------------


def test_test_nouns_are_the_published_ones_and_training_never_sees_them():
    assert set(TEST_NOUNS) <= PUBLISHED_TEST_NOUNS and not set(TRAIN_NOUNS) & PUBLISHED_TEST_NOUNS
    assert len(TRAIN_NOUNS) >= 20 and len(TEST_NOUNS) >= 12 and len({a for own in STATES.values() for a in own}) >= 16


@pytest.mark.parametrize("size, pictures", [("full", 6048), ("tiny", 210)])
def test_every_adjective_of_the_test_stands_in_the_training(size, pictures):
    jobs = plan(size)
    assert len(jobs) == pictures == len({path for path, *_ in jobs}) == len({number for *_, number in jobs})
    seen = {split: {a for _, a, noun, _ in jobs if (noun in TEST_NOUNS) == (split == "test")} for split in ("train", "test")}
    assert seen["test"] <= seen["train"] and len(seen["train"]) >= 16
    adjectives = {noun: {a for _, a, n, _ in jobs if n == noun} for _, _, noun, _ in jobs}
    assert all(len(own) == 7 for own in adjectives.values())
    assert {a for own in STATES.values() for a in own} == {*EFFECTS, *SIZES}


# --- pictures -----------------------------------------------------------------------------------------------------------


def test_outlines_tell_nouns_apart():
    shapes = {noun: outline(noun) for noun in NOUNS}
    assert all(0.03 < shape.mean() < 0.85 for shape in shapes.values())
    alike = {(a, b): (shapes[a] & shapes[b]).sum() / (shapes[a] | shapes[b]).sum() for a in NOUNS for b in NOUNS if a < b}
    round_ones = {"apple", "ball", "clock", "coin", "orange", "plate", "tomato", "wheel"}  # told apart by what is inside
    assert all(share < 0.93 for pair, share in alike.items() if not set(pair) <= round_ones)
    assert np.median(list(alike.values())) < 0.6


def test_every_state_changes_the_picture_of_its_noun():
    for noun in ("apple", "chair", "coin", "gate", "shirt", "window"):
        drawn = {a: draw_state(a, noun, 64, RandomStream(7))[0].astype(int) for a in STATES[NOUNS[noun].stuff]}
        for a in drawn:
            for b in drawn:
                assert a >= b or (np.abs(drawn[a] - drawn[b]).sum(-1) > 50).sum() > 60, (noun, a, b)


def test_sizes_and_colors_are_what_the_words_say():
    def area(adjective, noun):
        return np.mean([draw_state(adjective, noun, 48, RandomStream(1, k))[1]["size"] for k in range(8)])

    assert area("small", "apple") < 0.55 * area("cut", "apple") < 0.8 * area("large", "apple")

    def tone(adjective, noun):
        """Mean color of the middle of the picture over some draws."""
        return np.mean([draw_state(adjective, noun, 48, RandomStream(2, k))[0][16:34, 16:34].mean((0, 1)) for k in range(10)], 0)

    usual = tone("wrinkled", "book")
    assert tone("burnt", "book").mean() < 0.6 * usual.mean()
    assert tone("frozen", "apple").min() > 1.2 * tone("cut", "apple").min()
    red, green, blue = tone("rusty", "bucket")
    assert red > 1.25 * green > 1.25 * blue
    red, green, blue = tone("mossy", "chair")
    assert green > red > 0 and green > 1.2 * blue

    def vivid(adjective):
        pictures = [draw_state(adjective, "ball", 48, RandomStream(2, k))[0][16:34, 16:34].astype(int) for k in range(6)]
        return np.ptp(pictures, -1).mean()

    assert vivid("old") < 0.6 * vivid("large")


def test_a_state_learnt_on_training_nouns_is_known_on_unseen_ones():
    """Colors and edges alone, a linear model: far above chance on nouns that it never saw."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    def features(picture):
        x = picture.astype(float) / 255
        hue = x.max(-1) - x.min(-1)
        edges = np.abs(np.diff(x.mean(-1), axis=0))[:, 1:], np.abs(np.diff(x.mean(-1), axis=1))[1:]
        histogram, _ = np.histogramdd(x.reshape(-1, 3), bins=4, range=[(0, 1)] * 3)
        rough = [e.mean() * 100 for e in edges] + [(e > 0.2).mean() * 100 for e in edges]
        return np.concatenate([np.sqrt(histogram.ravel()), rough, np.histogram(hue, 6, (0, 1))[0] ** 0.5])

    def drawn(nouns, each):
        rows = [
            (features(draw_state(a, noun, 40, RandomStream(5, n, k))[0]), a)
            for n, noun in enumerate(nouns)
            for a in STATES[NOUNS[noun].stuff]
            for k in range(each)
        ]
        return np.array([f for f, _ in rows]), np.array([a for _, a in rows])

    x, y = drawn(TRAIN_NOUNS, 2)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, y)
    assert model.score(*drawn(TEST_NOUNS, 1)) > 0.4  # chance: 1 of 18


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(DataError, match="unicorn"):
        draw_state("wet", "unicorn", 32, RandomStream(1))
    with pytest.raises(DataError, match="rusty"):
        draw_state("happy", "apple", 32, RandomStream(1))


# --- the files ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(made, tmp_path, cores):
    first = hashes(made)
    assert len(first) == 210 + 2
    cores(2)
    assert hashes(make_mit_states(tmp_path / "again", "tiny", PIXELS, seed=3, progress=False)) == first
    cores(1)
    other = hashes(make_mit_states(tmp_path / "other", "tiny", PIXELS, seed=4, progress=False))
    assert set(other) == set(first) and not any(other[name] == first[name] for name in first)


def test_the_loader_reads_what_was_made(made):
    layout = MITStates(made)
    report = layout.check(progress=False)
    assert report.complete and not report.problems
    train, test = layout.load("train"), layout.load("test")
    assert (len(train.images), len(train.queries)) == (140, 280) and (len(test.images), len(test.queries)) == (70, 420)
    assert test.origin == "synthetic mit_states v1 size=tiny pixels=24 seed=3"
    told = load_sidecar(made)
    for image in (*train.images, *test.images):
        assert f"{told[image.id]['adjective']} {told[image.id]['noun']}" == image.label
        assert PILImage.open(image.path).size == (PIXELS, PIXELS)


def test_what_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="tiny"):
        make_mit_states(tmp_path / "x", "huge")
    with pytest.raises(DataError, match="another folder"):
        make_mit_states(made, "tiny", PIXELS, seed=5, progress=False)
    with pytest.raises(DataError, match=states.SIDECAR):
        load_sidecar(tmp_path)
