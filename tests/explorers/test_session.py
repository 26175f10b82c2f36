"""What the explorers read from: galleries, embedded queries, ranks, heads turned off, runs and their records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import maaf_lab
from maaf_lab.analysis.heads import head_ablation
from maaf_lab.data.transforms import normalize_pixels
from maaf_lab.errors import ConfigError, DataError, RunError
from maaf_lab.experiments.runs import find_run
from maaf_lab.explorers.session import describe_run, open_session
from maaf_lab.retrieval.embed import embed_split
from maaf_lab.retrieval.gallery import rank
from maaf_lab.utils.paths import GALLERIES


@pytest.mark.parametrize("name", ["css-laptop", "garments-laptop"])
def test_a_shipped_gallery_is_the_models(name):
    session = open_session(name)
    images = [0, 5, 1001, len(session.split.images) - 1]
    with torch.inference_mode():
        vectors = session.model.eval().embed_images(normalize_pixels(session.pixels.batch(images))).numpy()
    assert np.abs(session.gallery[images] - vectors).max() < 2e-5
    assert np.allclose(np.linalg.norm(session.gallery, axis=1), 1, atol=1e-6)


HARD = {  # queries that get another rank from plainly rounded vectors
    "css-laptop": [5336, 9687, 12279],
    "garments-laptop": [283, 4199],
}


@pytest.mark.parametrize("name", list(HARD))
def test_ranks_are_the_records(name):
    """From a gallery of 16-bit numbers: the same rank for every query, and the image found there is relevant."""
    session = open_session(name)
    recorded = session.run.rankings.column("rank")
    for q in [*np.random.default_rng(0).choice(len(recorded), 60, replace=False).tolist(), *HARD[name]]:
        vector = session.look(session.split.queries[q].source, session.text_of(q), attention=False).vector
        assert session.rank_of(vector, q) == recorded[q]
        found = session.search(vector, int(recorded[q]), session.candidates(q)).images
        assert session.is_relevant(found, q).tolist() == [False] * (recorded[q] - 1) + [True]


def test_a_gallery_is_embedded_once_and_kept(trained, tiny_css, tmp_path):
    run, reported = trained(), []
    first = open_session(run.folder, data_root=tiny_css, runs_root=tmp_path)
    vectors = first.embed_gallery(lambda done, total: reported.append((done, total)))
    assert reported[-1] == (360, 360) and first.embed_gallery() is vectors
    second = open_session(run.folder, data_root=tiny_css, runs_root=tmp_path)
    kept = next((tmp_path / "galleries").glob("*.npy"))
    written = kept.stat().st_mtime_ns
    assert np.array_equal(second.embed_gallery(lambda *_: pytest.fail("embedded again")), vectors)
    assert kept.stat().st_mtime_ns == written
    kept.write_bytes(b"torn")
    third = open_session(run.folder, data_root=tiny_css, runs_root=tmp_path)
    assert np.array_equal(third.gallery, vectors), "a damaged file is made again"


def test_a_look_is_what_the_model_says(css):
    query = css.split.queries[12]
    look = css.look(query.source, css.text_of(12))
    image = css.pixels.batch([query.source])
    vector, record = css.model.embed_query(normalize_pixels(image), [css.text_of(12)], return_attention=True)
    assert np.allclose(look.vector, vector[0].detach().numpy(), atol=1e-6)
    assert np.allclose(look.weights, record.weights[:, 0].detach().numpy()) and look.weights.shape == (1, 8, 52, 52)
    assert look.tokens == ("remove", "middleleft", "object") and look.spans == {"7x7": (0, 49), "text": (49, 52)}
    assert np.allclose(look.weights.sum(-1), 1, atol=1e-5) and look.normalized and look.operations == ("block 1",)
    own = css.look(css.pixels.image(query.source), css.text_of(12))
    assert np.allclose(own.vector, look.vector, atol=1e-6), "a picture of one's own, the same pixels"
    with pytest.raises(ConfigError, match="expected a picture uint8"):
        css.look(np.zeros((10, 10, 3), np.uint8), "remove cube")


def test_unknown_words_and_no_words(css):
    look = css.look(3, "make the sparkly, sparkly sphere red")
    assert look.unknown == ("the", "sparkly")
    bare = css.look(3, "  ")
    assert bare.tokens == () and bare.weights.shape[-1] == 49 and np.isfinite(bare.vector).all()


@pytest.mark.parametrize("run", ["css-laptop", "garments-laptop"])
def test_search_and_rank_against_a_full_sort(run):
    session = open_session(run)
    for q in (0, 777, 4321):
        vector = session.look(session.split.queries[q].source, session.text_of(q), attention=False).vector
        among = session.candidates(q)
        query = session.split.queries[q]
        for i in (0, 5, query.source, query.target):
            inside = session.dataset == "css" or query.category in session.split.images[i].categories
            assert among[i] == (inside and i != query.source)
        scores = session.gallery @ vector
        order = [i for i in np.argsort(-scores, kind="stable") if among[i]]
        hits = session.search(vector, 7, among)
        assert hits.images.tolist() == order[:7] and np.allclose(hits.scores, scores[order[:7]])
        first = 1 + next(n for n, i in enumerate(order) if session.split.images[i].label == query.target_label)
        assert session.rank_of(vector, q) == first
        assert session.is_relevant(hits.images, q).tolist() == [
            session.split.images[i].label == query.target_label for i in order[:7]
        ]
    assert len(session.search(vector, 5, np.zeros(len(session.split.images), bool)).images) == 0


def test_heads_are_turned_off_and_on_again(trained, tiny_css, tmp_path):
    session = open_session(trained(**{"model.blocks": 2}).folder, data_root=tiny_css, runs_root=tmp_path)
    image, text = session.split.queries[3].source, session.text_of(3)
    before = session.look(image, text).vector
    off = session.look(image, text, off=[(0, 1), (1, 2)]).vector
    assert not np.allclose(off, before) and np.array_equal(session.look(image, text).vector, before)
    table = session.ranks_without_each(3)
    assert table.shape == (2, 4)
    for b, h in np.ndindex(table.shape):
        assert table[b, h] == session.rank_of(session.look(image, text, off=[(b, h)]).vector, 3)
    for bad in ((2, 0), (0, 4), (-1, 0)):
        with pytest.raises(ConfigError, match=r"expected a (block|head) from 0"):
            session.look(image, text, off=[bad])
    queries, _ = embed_split(session.model, session.split, session.pixels, progress=False)
    with session.heads_off([(0, 0)]):
        gone, _ = embed_split(session.model, session.split, session.pixels, progress=False)
    assert not torch.equal(queries, gone) and len(head_ablation(session.model, session.split, session.pixels, progress=False)) > 8


def test_systems_without_attention_have_none(trained, tiny_css, tmp_path):
    session = open_session(trained("tirg").folder, data_root=tiny_css, runs_root=tmp_path)
    look = session.look(0, "make cube red")
    assert look.weights is None and np.linalg.norm(look.vector) == pytest.approx(1, abs=1e-5)
    assert session.ranks_without_each(0) is None


def test_opening_says_what_is_wrong(trained, tiny_css, tmp_path):
    with pytest.raises(RunError, match=r"'nothing' is no run's folder.*css-laptop, garments-laptop"):
        open_session("nothing", runs_root=tmp_path)
    with pytest.raises(RunError, match="found none; records of runs have no weights"):
        open_session("fashion_iq-tirg-815bb2bbab")
    with pytest.raises(DataError):
        open_session(trained().folder, data_root=tmp_path)
    published = tmp_path / "css"
    published.mkdir()
    for name in ("css_toy_dataset_novel2_small.dup.npy", "images"):
        (published / name).symlink_to(tiny_css / name)
    with pytest.raises(ConfigError, match=r"was trained on 'synthetic css.*a model of drawn pictures"):
        open_session(trained().folder, data_root=published)
    assert GALLERIES.is_dir()


def test_here_is_a_folder_and_only_nothing_is_left_out(trained, tiny_css, tmp_path, monkeypatch):
    session = open_session(trained().folder, runs_root=tmp_path)
    assert session.dataset_folder is None, "drawn image by image"
    monkeypatch.chdir(tiny_css)
    assert open_session(trained().folder, data_root=".", runs_root=tmp_path).dataset_folder == Path(".")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        open_session(trained().folder, data_root=".", runs_root=tmp_path)


def test_data_is_where_the_run_was_trained(trained, tiny_css, tmp_path, monkeypatch):
    """As `maaf-lab evaluate` finds it, where the pictures cannot be drawn one by one."""
    monkeypatch.setattr("maaf_lab.explorers.session.can_draw_lazily", lambda origin: False)
    monkeypatch.setenv("MAAF_LAB_HOME", str(tmp_path))
    assert open_session(trained().folder).dataset_folder == tiny_css.resolve()
    assert len(maaf_lab.explore_modifiers(trained().folder).session.split.queries)


def test_rankings_come_from_the_record_or_are_made(trained, tiny_css, tmp_path):
    run = trained()
    session = open_session(run.folder, data_root=tiny_css, runs_root=tmp_path)
    recorded = run.rankings.frame["rank"].tolist()
    assert session.rankings().frame["rank"].tolist() == recorded
    made = rank(*embed_split(session.model, session.split, session.pixels, progress=False), session.split, progress=False)
    assert made.frame["rank"].tolist() == recorded


def test_runs_for_people(css):
    assert describe_run(css.run) == "css-laptop: maaf, 2,400 steps"
    assert describe_run(find_run("fashion_iq-tirg-815bb2bbab")) == "tirg, 900 steps (bbab)"


def test_runs_that_are_read_only_can_be_explored(trained, tiny_css, tmp_path):
    (tmp_path / "runs").write_text("no folder, so nothing can be written below it, not even by an administrator")
    session = open_session(trained().folder, data_root=tiny_css, runs_root=tmp_path / "runs")
    with pytest.warns(UserWarning, match=r"galleries cannot be written .*stay in memory.*pass a runs_root"):
        assert session.gallery.shape == (360, session.model.config.width)
