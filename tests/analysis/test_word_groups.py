"""Average attention over groups of words, against a loop over queries."""

from __future__ import annotations

import numpy as np
import pytest

from maaf_lab.analysis.word_groups import word_groups
from maaf_lab.data.text import tokenize
from maaf_lab.errors import ConfigError
from maaf_lab.explorers.session import open_session


def parts(session):
    return session.model, session.split, session.pixels


def test_word_groups_against_a_loop(trained, tiny_css, tmp_path):
    session = open_session(trained(**{"model.blocks": 2}).folder, data_root=tiny_css, runs_root=tmp_path)
    reported = []
    found = word_groups(*parts(session), "a word", "cube", progress=lambda done, total: reported.append((done, total)))
    rows = [q for q in range(len(session.split.queries)) if "cube" in tokenize(session.text_of(q))]
    total, images = 0, []
    for q in rows:
        look = session.look(session.split.queries[q].source, session.text_of(q))
        total = total + look.weights[:, :, 49 + tokenize(session.text_of(q)).index("cube"), :49].reshape(2, 4, 7, 7)
        images.append(session.pixels.image(session.split.queries[q].source).astype(float))
    assert found.counts == {"cube": len(rows)} and np.allclose(found.maps["cube"], total / len(rows), atol=1e-6)
    assert np.abs(found.pictures["cube"] - np.mean(images, 0)).max() <= 0.51 and reported[-1] == (len(rows), len(rows))
    assert found.operations == ("block 1", "block 2")
    positions = word_groups(*parts(session), "position")
    assert list(positions.maps) == [p for p in positions.counts] and positions.contrast["top-left"].shape == (2, 5)
    colors = word_groups(*parts(session), "color")
    assert set(colors.ignored) == set(colors.maps)
    types = word_groups(*parts(session), "modification type")
    assert set(types.maps) == {"add", "remove", "change", "color", "shape", "size", "position"}


def test_word_groups_say_what_is_wrong(css, garments):
    with pytest.raises(ConfigError, match="holds the word 'unicorn'; try one of its words: "):
        word_groups(*parts(css), "a word", "unicorn")
    with pytest.raises(ConfigError, match="expected one word"):
        word_groups(*parts(css), "a word", "red cube")
    with pytest.raises(ConfigError, match="holds words of position"):
        word_groups(*parts(garments), "position")
    with pytest.raises(ConfigError, match="expected a word, position"):
        word_groups(*parts(css), "mood")
