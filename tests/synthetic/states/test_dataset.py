"""The plan: every test adjective occurs in training; the sidecar says what each image shows."""

import pytest

from maaf_lab.data.datasets.mit_states import MITStates
from maaf_lab.errors import DataError
from maaf_lab.synthetic.random_stream import RandomStream
from maaf_lab.synthetic.states.dataset import STATES, draw_state, load_sidecar, plan
from maaf_lab.synthetic.states.effects import EFFECTS, SIZES
from maaf_lab.synthetic.states.unseen_nouns import TEST_NOUNS


@pytest.mark.parametrize("size, pictures", [("full", 6048), ("tiny", 210)])
def test_every_test_adjective_occurs_in_training(size, pictures):
    jobs = plan(size)
    assert len(jobs) == pictures == len({path for path, *_ in jobs}) == len({number for *_, number in jobs})
    seen = {split: {a for _, a, noun, _ in jobs if (noun in TEST_NOUNS) == (split == "test")} for split in ("train", "test")}
    assert seen["test"] <= seen["train"] and len(seen["train"]) >= 16
    adjectives = {noun: {a for _, a, n, _ in jobs if n == noun} for _, _, noun, _ in jobs}
    assert all(len(own) == 7 for own in adjectives.values())
    assert {a for own in STATES.values() for a in own} == {*EFFECTS, *SIZES}


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(DataError, match="unicorn"):
        draw_state("wet", "unicorn", 32, RandomStream(1))
    with pytest.raises(DataError, match="rusty"):
        draw_state("happy", "apple", 32, RandomStream(1))


def test_the_sidecar_says_what_each_image_shows(drawn):
    layout, shown = MITStates(drawn("mit_states")), load_sidecar(drawn("mit_states"))
    for image in (*layout.load("train").images, *layout.load("test").images):
        assert f"{shown[image.id]['adjective']} {shown[image.id]['noun']}" == image.label
