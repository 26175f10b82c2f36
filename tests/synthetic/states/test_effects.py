"""States show, and what is learned of them on training nouns holds for unseen ones."""

import numpy as np

from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.states.dataset import STATES, draw_state
from maaf_lab.synthetic.states.nouns import TRAIN_NOUNS
from maaf_lab.synthetic.states.unseen_nouns import NOUNS, TEST_NOUNS


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


def test_a_state_learned_on_training_nouns_is_known_on_unseen_ones():
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
