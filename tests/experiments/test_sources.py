"""Where a run's data comes from."""

from maaf_lab.data import registry as datasets
from maaf_lab.experiments.sources import dataset_folder
from maaf_lab.synthetic import registry as sets


def test_every_synthetic_set_stands_in_for_a_dataset():
    assert set(sets.SYNTHETIC) <= set(datasets.DATASETS)


def test_a_datasets_folder(tmp_path, tiny_css):
    assert dataset_folder("css", tiny_css, "smoke") == dataset_folder("css", tiny_css, "laptop") == tiny_css
    assert dataset_folder("css", tiny_css.parent, "smoke") == tiny_css  # css-tiny
    assert dataset_folder("css", tmp_path, "laptop") == tmp_path / "css"
    assert dataset_folder("fashion_iq", tiny_css, "paper") == tiny_css / "fashion_iq"
