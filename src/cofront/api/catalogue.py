"""What there is: published networks, devices, spaces."""

from __future__ import annotations

from cofront.study.documents import DeviceDocument, KnownDevicesDocument, NetworkDocument, SpaceDocument


def zoo() -> list[NetworkDocument]:
    """The published networks with their sizes and the published figures."""
    from cofront.network import zoo as networks

    return [
        NetworkDocument(
            name=e.name, macs=e.macs, params=e.params, input_shape=list(e.input_shape),
            published=list(e.to_dict()["published"]),
        )
        for e in networks.entries()
    ]  # fmt: skip


def devices() -> list[DeviceDocument]:
    """The FPGA parts with their resources."""
    from cofront import device

    out = []
    for name in device.names():
        d = device.load(name)
        resources = {name: getattr(d, name) for name in ("dsp", "lut_total", "lut", "ff", "bram36", "uram")}
        out.append(
            DeviceDocument(
                name=name, title=d.title, board=d.board, dsp_kind=d.dsp_kind, resources=resources, budget=d.budget,
                clock_hz=d.clock_hz, max_clock_hz=d.max_clock_hz, bandwidth_bytes_per_s=d.bandwidth_bytes_per_s,
                static_power_w=d.static_power_w, sources=dict(d.sources),
            )
        )  # fmt: skip
    return out


def known_devices() -> list[KnownDevicesDocument]:
    """Devices whose latencies are known from public tables, by the space whose networks were measured."""
    from cofront.predict.devices import shipped, spaces_of_shipped

    found = {name: shipped(name) for name in spaces_of_shipped()}
    return [KnownDevicesDocument(space=k, names=list(v.names), source=v.note) for k, v in found.items()]


def spaces() -> list[SpaceDocument]:
    """The registered search spaces."""
    from cofront import space

    out = []
    for name in space.names():
        found = space.load(name)
        options = {c.name: list(c.options) for c in found.choices}
        bits = {v for values in options.values() for v in values if isinstance(v, str) and v in space.PRECISIONS}
        out.append(
            SpaceDocument(
                name=name, task=found.task, input_shape=list(found.input_shape),
                points=found.n_points,
                precisions=[p for p in space.PRECISIONS if p in bits], choices=options,
            )
        )  # fmt: skip
    return out
