"""Every key used in a docstring or comment stands in references.py."""

import re
from pathlib import Path

from cofront.references import REFERENCES, cite

SRC = Path(__file__).parent.parent / "src" / "cofront"


def test_every_cited_key_is_known():
    cited = {
        (key, path.name)
        for path in SRC.rglob("*.py")
        for key in re.findall(r"\[([A-Z][A-Za-z]+V?\d{2}|NSGA2|UCT)\]", path.read_text(encoding="utf-8"))
    }
    assert cited, "nothing is cited: the pattern is wrong"
    unknown = sorted((k, f) for k, f in cited if k not in REFERENCES)
    assert not unknown
    assert "FCCM 2021" in cite("HAO21")
