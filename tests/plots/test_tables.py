"""Tables of statements as HTML."""

from __future__ import annotations

import numpy as np
import pandas as pd

from maaf_lab.plots.tables import judged_by, statements_html


def test_statements_as_html():
    frame = pd.DataFrame(
        {
            "table": ["1", "2"],
            "statement": ["MAAF over TIRG & co", "ITA over <none>"],
            "gained": [1.25, np.nan],
            "low": [0.4, np.nan],
            "high": [2.1, np.nan],
            "p": [0.0001, np.nan],
            "p_holm": [0.0002, np.nan],
            "verdict": ["holds", "not run"],
        }
    )
    html = statements_html(frame, "a < caption")
    rows = [row.split("</td>") for row in html.split("<tr>")[2:]]
    texts = [[cell.rpartition(">")[2] for cell in row[:5]] for row in rows]
    assert texts == [
        ["1", "MAAF over TIRG &amp; co", "+1.2 [+0.4, +2.1]", "p &lt; 0.001", "holds"],
        ["2", "ITA over &lt;none&gt;", "", "", "not run"],
    ]
    assert html.endswith("a &lt; caption</p>") and "Holm over the 1 statement of this table" in judged_by(
        frame, "statement", "of this table"
    )
