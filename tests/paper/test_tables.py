"""Every table's rows as settings."""

from itertools import product

import pytest

from maaf_lab.errors import ConfigError
from maaf_lab.paper.printed import paper_table
from maaf_lab.paper.table_experiment import open_table
from maaf_lab.paper.table_results import run_table
from maaf_lab.paper.tables import TABLES, row_configs, table
from maaf_lab.utils.registry import MODELS


def test_every_table_of_the_paper_has_rows():
    assert list(TABLES) == ["1", "2", "3", "4", "5", "6", "7", "S1", "S2", "S3", "S4", "S5"]


@pytest.mark.parametrize("key", TABLES)
def test_rows_and_columns_are_the_papers(key):
    printed, ours = paper_table(key), table(key)
    extra = {"N", "Rel"} if key == "S4" else set()  # counted and computed, not run
    named = [row.paper for row in ours.rows if row.paper is not None]
    assert set(printed["row"]) - extra == set(named) and len(named) == len(set(named))
    assert list(dict.fromkeys(printed["column"])) == [column.label for column in ours.columns]
    assert all(row.note for row in ours.rows if row.changes is None), "a row of reported numbers says why"
    assert ours.standard in {row.label for row in ours.rows}
    for comparison in ours.comparisons:
        for label in (*comparison.better, *comparison.worse):
            assert ours.row(label).changes is not None


@pytest.mark.parametrize(("key", "profile"), list(product(TABLES, ("smoke", "laptop", "paper"))))
def test_rows_are_settings(key, profile):
    chosen, names = table(key), []
    for row, dataset in product(chosen.rows, chosen.datasets):
        for config in row_configs(key, row.label, profile, "somewhere", (0, 1), dataset):
            assert config.profile == profile and config.data.dataset == dataset and config.model.name in MODELS
            names.append(config.name)
    assert len(names) == len(set(names)) > 1, "two rows are one run"


def test_the_papers_own_settings():
    """The paper's recipe, line by line: what the `paper` profile trains."""

    def settings(key, label, dataset=None):
        return row_configs(key, label, "paper", "published", (0,), dataset)[0]

    css, iq, states = settings("1", "MAAF"), settings("2", "RP+ITA+IT"), settings("S5", "MAAF")
    assert (css.model.attention, css.model.resolutions, css.model.blocks, css.train.steps) == ("identity", (7,), 1, 75_000)
    assert css.train.learning_rate == css.train.image_learning_rate == 0.01
    assert (iq.model.feedforward, iq.model.heads, iq.model.blocks, iq.model.width) == (256, 8, 2, 512)
    assert (iq.train.steps, iq.train.decay_every, iq.train.batch_size, iq.train.single_category) == (150_000, 50_000, 32, True)
    assert (iq.train.learning_rate, iq.train.image_learning_rate, iq.data.transform) == (0.01, 0.001, "crops")
    assert (states.model.feedforward, states.model.blocks, states.data.transform) == (32, 1, "plain")
    assert settings("6", "MAAF", "birds_to_words").train.steps == 30_000
    assert settings("6", "MAAF", "spot_the_diff").train.decay_every == 30_000
    assert settings("7", "MAAF").model.feedforward == 256 and settings("7", "MAAF").data.transform == "plain"
    none = settings("2", "none").model
    assert not (none.resolutionwise_pooling or none.image_through_attention or none.include_text)
    star, plain = settings("5", "Linear Layer with GLOVE*"), settings("5", "Linear Layer with GLOVE")
    assert (star.train.text_learning_rate, plain.train.text_learning_rate) == (0.001, None)
    assert star.model == plain.model and star.model.freeze_text and star.model.word_vectors == "glove"
    assert settings("5", "BERT").model.bert == "bert-base-uncased" and settings("5", "BERT (frozen)").model.freeze_text
    assert settings("4", "Self(x) || Self(t), Cross(x,t), Cross(t,x)").train.learning_rate == 0.005
    assert settings("S1", "7x7").model.resolutions == (7,)


def test_one_model_of_several_tables_is_one_run():
    where = [
        ("2", "RP+ITA+IT"),
        ("3", "MAAF"),
        ("4", "MAAF"),
        ("5", "LSTM"),
        ("S1", "7x7+14x14"),
        ("S2", "256"),
        ("S3", "2"),
        ("S4", "MAAF"),
    ]
    assert len({row_configs(key, label, "laptop", "x", (0,))[0].name for key, label in where}) == 1


def test_rows_as_settings():
    three = row_configs("1", "TIRG", "paper", "published", (0, 1, 2))
    assert [config.train.seed for config in three] == [0, 1, 2] and len({config.name for config in three}) == 3
    assert three[0].model.image_encoder == "resnet50" and three[0].train.steps == 75_000
    assert row_configs("3", "Designovel", "paper", "published", (0,)) == []
    with pytest.raises(ConfigError, match=r"no row 'Tirg'; rows: .*TIRG"):
        row_configs("1", "Tirg", "paper", "", (0,))
    with pytest.raises(ConfigError, match="no table '99' in the lab; known: 1"):
        table("99")
    with pytest.raises(ConfigError, match="no table '99'"):
        run_table("99", "smoke", "", "", origin="")
    with pytest.raises(ConfigError, match=r"unknown profile 'lapdog'; known: .*laptop"):
        open_table("1", profile="lapdog")
    with pytest.raises(ConfigError, match="at least one"):
        open_table("1", seeds=())
    with pytest.raises(ConfigError, match="no row 'MAFF'"):
        open_table("1", rows=["MAFF"])
    with pytest.raises(ConfigError, match="table 6 is about birds_to_words, spot_the_diff; found 'css'"):
        open_table("6").run("css")


def test_rows_of_tables_set_only_what_is_read():
    for profile in ("smoke", "laptop", "paper"):
        for one in TABLES.values():
            for row in one.rows:
                for dataset in one.datasets:
                    row_configs(one.key, row.label, profile, "", [0], dataset)
