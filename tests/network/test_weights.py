"""The weights container: keys, validation, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.errors import InputError
from cofront.network import Builder, Network
from cofront.network.weights import load, random_weights, save, validate, weight_shapes


@pytest.fixture
def net() -> Network:
    b = Builder("tiny", (3, 8, 8))
    b.conv(4, 3, act="relu", name="a")
    b.depthwise(3, name="dw", norm=False)
    b.conv(6, 1, name="b", norm=False, bias=True)
    b.classifier(5)
    return b.build()


def test_a_bias_exists_where_norm_or_bias_does(net: Network) -> None:
    assert weight_shapes(net) == {
        "a.weight": (4, 3, 3, 3),
        "a.bias": (4,),
        "dw.weight": (4, 1, 3, 3),
        "b.weight": (6, 4, 1, 1),
        "b.bias": (6,),
        "classifier.weight": (5, 6),
        "classifier.bias": (5,),
    }


def test_random_weights_are_valid_and_repeatable(net: Network) -> None:
    one, two = (random_weights(net, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert validate(net, one).keys() == one.keys()
    assert all(v.dtype == np.float32 for v in one.values())


def test_validation_names_what_is_wrong(net: Network) -> None:
    w = random_weights(net, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"weights of 'tiny': missing 'a.bias'; not in the network 'c.bias'"):
        validate(net, {("c.bias" if k == "a.bias" else k): v for k, v in w.items()})
    with pytest.raises(InputError, match=r"'a.weight' should have shape \(4, 3, 3, 3\), has \(4,\)"):
        validate(net, w | {"a.weight": w["a.bias"]})
    with pytest.raises(InputError, match=r"'a.bias' should be floating point, is int64"):
        validate(net, w | {"a.bias": np.zeros(4, dtype=np.int64)})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"'a.bias' has values that are not finite"):
        validate(net, w | {"a.bias": np.full(4, np.nan, dtype=np.float32)})


def test_files_round_trip(net: Network, tmp_path: Path) -> None:
    w = random_weights(net, np.random.default_rng(0))
    file = tmp_path / "w.safetensors"
    save(file, w, {"network": "tiny"})
    again = load(file, net)
    assert again.keys() == w.keys()
    assert all(np.array_equal(again[k], w[k]) for k in w)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_unreadable_and_unwritable_files(net: Network, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read weights from .*: No such file"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match=r"cannot write weights to .*: No such file"):
        save(tmp_path / "no" / "w", {})
    save(tmp_path / "other", {"x.weight": np.zeros(3, dtype=np.float32)})
    with pytest.raises(InputError, match=r"missing 'a.weight'"):
        load(tmp_path / "other", net)


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_foreign_bytes_are_one_clear_error(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int) -> None:
    """Random bytes, and a valid file cut short: an InputError, never anything else."""
    folder = tmp_path_factory.mktemp("w")
    whole = folder / "whole"
    save(whole, {"x.weight": np.arange(50, dtype=np.float32)})
    full = whole.read_bytes()
    for content in (data, full[: min(cut, len(full) - 1)]):
        (folder / "f").write_bytes(content)
        with pytest.raises(InputError, match=r"is not a safetensors file of weights"):
            load(folder / "f")
