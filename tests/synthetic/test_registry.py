"""Every synthetic dataset through one door: same seed, same bytes; its loader reads it; what makes no sense is refused."""

import json

import pytest
from PIL import Image as PILImage
from synthetic_files import PIXELS, SEED, hashes

from maaf_lab.data.registry import open_dataset
from maaf_lab.errors import ConfigError, DataError
from maaf_lab.synthetic.birds import dataset as birds
from maaf_lab.synthetic.css import dataset as css
from maaf_lab.synthetic.registry import SYNTHETIC, make, synthetic_origin
from maaf_lab.synthetic.states import dataset as states
from maaf_lab.synthetic.streets import dataset as streets

DRAWN = {  # files; images and queries of each split
    "css": (720 + 3, {"train": (360, 320), "test": (360, 320)}),
    "fashion_iq": (428 + 20, {"train": (214, 180), "val": (143, 90), "test": (71, 45)}),
    "fashion200k": (300 + 13, {"train": (200, 200), "test": (100, 60)}),
    "mit_states": (210 + 2, {"train": (140, 280), "test": (70, 420)}),
    "birds_to_words": (60 + 3, {"train": (30, 120), "val": (15, 20), "test": (15, 20)}),
    "spot_the_diff": (150 + 5, {"train": (90, 98), "val": (30, 42), "test": (30, 33)}),
}


def test_every_synthetic_dataset_is_tested_here():
    assert set(DRAWN) == set(SYNTHETIC)


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(name, drawn, tmp_path, cores):
    first = hashes(drawn(name))
    assert len(first) == DRAWN[name][0]
    cores(2)
    assert hashes(make(name, tmp_path / "again", "tiny", PIXELS, SEED, progress=False)) == first
    cores(1)
    other = hashes(make(name, tmp_path / "other", "tiny", PIXELS, SEED + 1, progress=False))
    assert not set(other.values()) & set(first.values())
    assert (set(other) == set(first)) == (not name.startswith("fashion"))  # names of products depend on the seed


@pytest.mark.parametrize("name", DRAWN)
def test_the_loader_reads_what_was_made(name, drawn):
    folder, (_, counts) = drawn(name), DRAWN[name]
    dataset = open_dataset(name, folder)
    report = dataset.check(progress=False)
    assert report.complete and not report.problems
    assert json.loads((folder / "made.json").read_text())["counts"] == {split: list(pair) for split, pair in counts.items()}
    origin = f"synthetic {name} v1 size=tiny pixels={PIXELS} seed={SEED}"
    assert report.origin == origin == synthetic_origin(name, "tiny", PIXELS, SEED)
    for split, pair in counts.items():
        loaded = dataset.load(split)
        assert (len(loaded.images), len(loaded.queries)) == pair and loaded.origin == origin
        assert {PILImage.open(image.path).size for image in loaded.images} == {(PIXELS, PIXELS)}


@pytest.mark.parametrize("bad", [{"size": "huge"}, {"pixels": 8}, {"pixels": 56.0}, {"seed": -1}, {"seed": True}])
@pytest.mark.parametrize("name", DRAWN)
def test_settings_that_make_no_sense(name, bad, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(bad))) as error:
        make(name, tmp_path / "x", **bad)
    assert ("'full' or 'tiny'" in str(error.value)) == ("size" in bad) and not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", DRAWN)
def test_a_folder_with_another_dataset_is_left_alone(name, drawn):
    folder = drawn(name)
    before = hashes(folder)
    for change in ({"seed": SEED + 1}, {"pixels": 40}, {"size": "full"}):
        with pytest.raises(DataError, match=rf"holds 'synthetic {name} v1 size=tiny pixels=32 seed=3'.*pass another folder"):
            make(name, folder, **{"size": "tiny", "pixels": PIXELS, "seed": SEED, **change}, progress=False)
    assert make(name, folder, "tiny", PIXELS, SEED, progress=False) == folder and hashes(folder) == before


@pytest.mark.parametrize(
    ("module", "name", "more"),
    [(birds, "birds_to_words", ()), (css, "css", ("test",)), (states, "mit_states", ()), (streets, "spot_the_diff", ())],
)
def test_a_folder_without_a_sidecar(module, name, more, tmp_path):
    with pytest.raises(DataError, match=rf"{module.SIDECAR}: no such file.*maaf-lab make {name}"):
        module.load_sidecar(tmp_path, *more)
