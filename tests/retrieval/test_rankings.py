"""Rankings in memory and in their files."""

from __future__ import annotations

import pandas as pd
import pytest
from galleries import rankings, tied_split

from maaf_lab.errors import RunError
from maaf_lab.retrieval.gallery import rank
from maaf_lab.retrieval.rankings import Rankings


def test_rankings_are_saved_and_loaded(tmp_path):
    split, queries, vectors = tied_split()
    before = rank(queries, vectors, split, progress=False)
    before.save(tmp_path / "rankings.parquet")
    after = Rankings.load(tmp_path / "rankings.parquet")
    assert after.protocol == before.protocol == split.protocol.describe()
    assert list(after.frame.columns) == list(before.frame.columns) and len(after) == len(before) == 90
    for name in ("query", "source", "text", "rank"):
        assert after.frame[name].tolist() == before.frame[name].tolist()
    assert [list(row) for row in after.frame["top"]] == [list(row) for row in before.frame["top"]]
    assert [list(row) for row in after.frame["scores"]] == [list(row) for row in before.frame["scores"]]
    assert after.frame["target_label"].isna().tolist() == [q.target_label is None for q in split.queries]
    assert [p.name for p in tmp_path.iterdir()] == ["rankings.parquet"]


def test_rankings_from_a_file_are_one_set_of_rankings(tmp_path):
    """Columns without pandas equal the frame's; a file that changes under them is told, not mixed in."""
    file = tmp_path / "rankings.parquet"
    before = rankings([1, 7, 0, 3])
    before.save(file)
    rankings([2, 2, 70_000, 2]).save_ranks(tmp_path, "css", "other")
    shared = tmp_path / before.save_ranks(tmp_path, "css", "one")
    assert len(list(tmp_path.glob("ranks-css-*.parquet"))) == 1
    assert Rankings.load_ranks(shared, "other", "").column("rank").tolist() == [2, 2, 70_000, 2]
    for path in (file, shared):
        after = Rankings.load(path) if path == file else Rankings.load_ranks(path, "one", before.protocol)
        if path == file:
            away = path.rename(tmp_path / "away.parquet")
            with pytest.raises(RunError, match="put it back"):
                _ = after.frame  # not made when it was loaded
            away.rename(path)
        assert len(after) == 4 and after.protocol == before.protocol and after.hits(3).tolist() == [1, 0, 0, 1]
        columns = {name: after.column(name).tolist() for name in ("query", "source", "text", "target_label", "category", "rank")}
        assert columns == {name: before.column(name).tolist() for name in columns}
        for name, values in columns.items():
            assert after.frame[name].isna().tolist() == [v is None for v in values]
            assert after.frame[name].dropna().tolist() == [v for v in values if v is not None]
        assert after.frame["top"].map(len).tolist() == ([0] * 4 if path == shared else before.frame["top"].map(len).tolist())
    old = Rankings.load(file)
    rankings([2, 7, 0, 3]).save(file)
    assert old.column("rank").tolist() == [1, 7, 0, 3] and old.column("text").tolist() == before.column("text").tolist()
    with pytest.raises(RunError, match=r"expected the rankings that it held when it was opened.*load it again"):
        _ = old.frame
    file.unlink()
    with pytest.raises(RunError, match="put it back"):
        _ = old.frame


def test_wrong_rankings_are_refused(tmp_path):
    good = rankings([1, 2])
    with pytest.raises(RunError, match="missing rank, scores"):
        Rankings(good.frame.drop(columns=["rank", "scores"]), "")
    with pytest.raises(RunError, match="negative"):
        rankings([1, -1])
    with pytest.raises(RunError, match="maaf-lab evaluate"):
        Rankings.load(tmp_path / "none.parquet")
    good.frame.rename(columns={"rank": "place"}).to_parquet(tmp_path / "whole.parquet")
    with pytest.raises(RunError, match="missing rank"):
        Rankings.load(tmp_path / "whole.parquet")
    with pytest.raises(RunError, match="missing scores"):
        good.frame.drop(columns="scores").to_parquet(tmp_path / "short.parquet")
        Rankings.load(tmp_path / "short.parquet")
    ranks = tmp_path / good.save_ranks(tmp_path, "css", "one")
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of two and their queries, found no two\."):
        Rankings.load_ranks(ranks, "two", "")
    pd.read_parquet(ranks).drop(columns="text").to_parquet(ranks)
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of one and their queries, found no text\."):
        Rankings.load_ranks(ranks, "one", "")
    ranks.write_bytes(ranks.read_bytes()[:-30])
    with pytest.raises(RunError, match=rf"{ranks.name}: expected rankings, found damage .*`maaf-lab record`"):
        Rankings.load_ranks(ranks, "one", "")
    ranks.unlink()
    with pytest.raises(RunError, match=rf"{ranks.name}: expected the ranks of one, found no file.*`maaf-lab record`"):
        Rankings.load_ranks(ranks, "one", "")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"broken\.parquet: expected rankings, found damage"):
        Rankings.load(tmp_path / "broken.parquet")
