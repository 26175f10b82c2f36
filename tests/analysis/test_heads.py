"""What heads are worth."""

import pytest
import torch

from maaf_lab.analysis.heads import attentions, head_ablation, without_head
from maaf_lab.errors import ConfigError


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
