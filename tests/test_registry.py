"""Entry points: what the light reader finds is what is installed."""

from importlib.metadata import entry_points

import pytest

from cofront import registry
from cofront.errors import UsageError


@pytest.mark.parametrize("kind", registry.GROUPS)
def test_names_and_objects_are_those_of_the_installed_entry_points(kind):
    declared = {e.name: e for e in entry_points(group=registry.GROUPS[kind])}
    own = {n: v for n, v in registry._declared()[registry.GROUPS[kind]].items() if n in declared}
    assert own.keys() == declared.keys()
    for name, entry in own.items():
        assert entry.load() is declared[name].load()


def test_foreign_and_broken_files_do_not_matter(tmp_path, monkeypatch):
    for name, text in (
        ("mine-1.dist-info", "[cofront.searches]\nluck = json:dumps\n[other]\nx = y\n"),
        ("broken-1.dist-info", "cofront.searches ]\n==="),
        ("quiet-1.egg-info", "[console_scripts]\na = b:c\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._declared.cache_clear()
    try:
        import json

        assert registry.load("search", "luck") is json.dumps
        assert "exact" in registry.names("search")
        with pytest.raises(UsageError, match="no method named 'lucky'; did you mean luck"):
            registry.load("search", "lucky", "method")
    finally:
        registry._declared.cache_clear()
