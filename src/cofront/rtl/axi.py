"""AXI4 and AXI4-Lite ports, and the arbiter by which several readers share one read channel.

Names are those of the AXI specification in lower case without underscores, so that the top's ports read `m_axi_araddr`.
Bursts are INCR and never cross 4 KB; there is one identifier, hence no reordering.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.rtl.streams import Queue

ADDRESS_BITS = 32

#: A burst that a reader or the writer asks for; `length` in words.
BURST: Any = data.StructLayout({"address": unsigned(ADDRESS_BITS), "length": unsigned(9)})


def axi4(bus_bits: int) -> dict[str, Any]:
    """Members of an AXI4 manager port."""
    size = {"size": Out(3), "burst": Out(2), "len": Out(8), "cache": Out(4), "prot": Out(3)}
    return {
        "araddr": Out(ADDRESS_BITS),
        **{f"ar{name}": flow for name, flow in size.items()},
        "arvalid": Out(1),
        "arready": In(1),
        "rdata": In(bus_bits),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
        "awaddr": Out(ADDRESS_BITS),
        **{f"aw{name}": flow for name, flow in size.items()},
        "awvalid": Out(1),
        "awready": In(1),
        "wdata": Out(bus_bits),
        "wstrb": Out(bus_bits // 8),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
    }


def axi4_lite() -> dict[str, Any]:
    """Members of an AXI4-Lite subordinate port, as the subordinate sees them."""
    return {
        "awaddr": In(8),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(8),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


class ReadArbiter(wiring.Component):
    """Bursts of several readers, the first first, onto one address channel; data goes back in the order of asking.

    Readers ask only for what they have room for, so that data never waits: there is no ready.
    """

    def __init__(self, readers: int, bus_bits: int, outstanding: int = 32) -> None:
        self.readers, self.bus_bits, self.outstanding = readers, bus_bits, outstanding
        super().__init__(
            {
                **{f"ask_{i}": In(stream.Signature(BURST)) for i in range(readers)},
                **{f"valid_{i}": Out(1) for i in range(readers)},
                "data": Out(bus_bits),
                "address": Out(stream.Signature(BURST)),
                "rdata": In(bus_bits),
                "rvalid": In(1),
                "rlast": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.order = order = Queue(range(self.readers), self.outstanding)
        held = Signal(BURST)
        full = Signal()
        free = Signal()
        m.d.comb += [
            free.eq((~full | self.address.ready) & order.input.ready),
            self.address.payload.eq(held),
            self.address.valid.eq(full),
            self.data.eq(self.rdata),
        ]
        asked: Any = 0
        for i in reversed(range(self.readers)):
            ask = getattr(self, f"ask_{i}")
            with m.If(ask.valid & free):
                m.d.sync += held.eq(ask.payload)
                m.d.comb += order.input.payload.eq(i)
            asked = asked | ask.valid
        before: Any = 0
        for i in range(self.readers):
            ask = getattr(self, f"ask_{i}")
            m.d.comb += ask.ready.eq(free & ~before)
            before = before | ask.valid
            m.d.comb += getattr(self, f"valid_{i}").eq(self.rvalid & (order.output.payload == i))
        m.d.comb += [
            order.input.valid.eq(asked & (~full | self.address.ready)),
            order.output.ready.eq(self.rvalid & self.rlast),
        ]
        m.d.sync += full.eq(Mux(free, asked, full & ~self.address.ready))
        return m


def connect(m: Module, port: Any, arbiter: ReadArbiter, writer: Any, base: Any, bus_bits: int) -> None:
    """An AXI4 manager port (an object with the members of `axi4`) from the arbiter and the writer, at offset `base`."""
    size = (bus_bits // 8).bit_length() - 1
    for name, source in (("ar", arbiter.address), ("aw", writer.address)):
        signals = {key: getattr(port, name + key) for key in ("addr", "len", "size", "burst", "cache", "prot", "valid")}
        m.d.comb += [
            signals["addr"].eq(source.payload.address + base),
            signals["len"].eq(source.payload.length - 1),
            signals["size"].eq(size),
            signals["burst"].eq(1),  # INCR
            signals["cache"].eq(3),  # normal, not cacheable, bufferable
            signals["valid"].eq(source.valid),
            source.ready.eq(getattr(port, name + "ready")),
        ]
    m.d.comb += [
        arbiter.rdata.eq(port.rdata),
        arbiter.rvalid.eq(port.rvalid),
        arbiter.rlast.eq(port.rlast),
        port.rready.eq(1),
        port.wdata.eq(writer.wdata),
        port.wstrb.eq(writer.wstrb),
        port.wlast.eq(writer.wlast),
        port.wvalid.eq(writer.wvalid),
        writer.wready.eq(port.wready),
        writer.bvalid.eq(port.bvalid),
        port.bready.eq(1),
    ]
