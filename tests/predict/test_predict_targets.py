"""The target of a blind evaluation is nothing that was learnt from, however it is spelled."""

import csv

import numpy as np
import pytest

from cofront.api.predicting import evaluate_predictor
from cofront.errors import UsageError
from cofront.hardware.tables import plain
from cofront.predict.base import one_hot
from cofront.predict.devices import shipped
from cofront.space import load


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """NAS-Bench-201 with columns of pixel3, spelled otherwise, and of a board that is like another known device."""
    space = load("nasbench201")
    points = space.sample(np.random.default_rng(0), 80)
    devices = shipped("nasbench201").select(["pixel3", "gold_6240"])
    latency = np.maximum(1e3 * devices.predict(one_hot(space, points)).T, 0.1)
    columns = [c.name for c in space.choices] + ["lat_ms_Pixel-3", "lat_ms_PIXEL_3", "lat_ms_board"]
    path = tmp_path_factory.mktemp("target") / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for point, ms, board in zip(points, *latency, strict=True):
            writer.writerow([*(c.options[i] for c, i in zip(space.choices, point, strict=True)), ms, ms, board])
    return path


def test_names_without_case_and_punctuation():
    assert plain("Pixel-3") == plain("pixel_3") == "pixel3" != plain("pixel_4")


@pytest.mark.parametrize("known", ["paper", "all", "pixel3,gold_6240"])
def test_the_target_is_not_known_in_another_spelling(table, known):
    found = evaluate_predictor(
        "nnls", space="nasbench201", table=table, target="lat_ms_Pixel-3", known=known, any_magnitude=True
    )
    assert "gold_6240" in found.known or known == "paper"
    assert "pixel3" not in found.known


def test_nor_as_a_column_of_the_table(table):
    with pytest.raises(UsageError, match="--known names no device but the target"):
        evaluate_predictor(
            "nnls", space="nasbench201", table=table, target="lat_ms_Pixel-3", known="lat_ms_PIXEL_3",
            any_magnitude=True,
        )  # fmt: skip


def test_a_device_of_the_shipped_weights_is_no_target(tmp_path):
    space = load("fbnet@cifar100")
    points = space.sample(np.random.default_rng(0), 12)
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(c.name for c in space.choices), "lat_ms_Pixel3", "lat_ms_titanx-1"])
        for i, point in enumerate(points):
            writer.writerow([*(c.options[j] for c, j in zip(space.choices, point, strict=True)), 20 + i, 30 + i])
    for column, device in (("lat_ms_Pixel3", "pixel3"), ("lat_ms_titanx-1", "titanx_1")):
        with pytest.raises(UsageError, match=f"help comes trained on '{device}': judge it on another device"):
            evaluate_predictor("help", space="fbnet", table=path, target=column, samples=8)
