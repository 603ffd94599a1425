"""Writes the known devices that ship with the package: one linear model per device of the public tables.

    python benchmarks/known_devices.py

Devices of HELP's test splits are left out, and so are the rows outside its pools: what is shipped has seen neither.
Models, not measurements; sources and licences of the tables are in the files' metadata.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from cofront import space
from cofront.hardware.tables import read_measured
from cofront.predict.devices import learn_devices

DATA = Path(os.environ.get("COFRONT_DATA", "../shared/data"))
OUT = Path(__file__).parent.parent / "src" / "cofront" / "data_tables"
TABLES = {"nasbench201": ("nasbench201.parquet", "nb201"), "fbnet@cifar100": ("fbnet_space.parquet", "fbnet")}
NOTE = (
    "ridge on one-hot choices, seconds; first {rows} rows of the latency tables of HELP (Lee et al. 2021, MIT), "
    "HW-NAS-Bench (Li et al. 2021, MIT) and Multi-Predict/nasflat_latency"
)


def main() -> None:
    import pyarrow.parquet as pq

    splits = json.loads((DATA / "help_splits.json").read_text())
    for name, (file, key) in TABLES.items():
        split = splits[key]
        kept = split["meta_train"] + split["meta_valid"]
        columns = [f"lat_ms_{d}" for d in kept if f"lat_ms_{d}" in pq.read_schema(DATA / file).names]
        table = read_measured(DATA / file, space.load(name), columns)
        rows = split["help_pool"][1]
        found = learn_devices(
            table.space,
            table.points,
            {c.removeprefix("lat_ms_"): table.column(c) for c in columns},
            rows,
            NOTE.format(rows=rows),
        )
        found.save(OUT / f"devices_{name.partition('@')[0]}.safetensors")
        print(name, len(found.names), "devices:", " ".join(found.names))


if __name__ == "__main__":
    main()
