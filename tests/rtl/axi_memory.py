"""External memory behind an AXI4 port, for Amaranth's simulator: latency, random stalls, checks of the protocol."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np


class Steady:
    """What a channel offers stays valid, and as it is, until it is taken."""

    def __init__(self, name: str) -> None:
        self.name, self.waits, self.payload = name, False, ()

    def check(self, ready: Any, valid: Any, *payload: Any) -> None:
        assert not self.waits or valid, f"{self.name}VALID fell before {self.name}READY"
        assert not self.waits or payload == self.payload, f"{self.name} changed before {self.name}READY"
        self.waits, self.payload = bool(valid) and not ready, payload


class AxiMemory:
    """Drives the subordinate side of `port` (members as `axi.axi4`). `data` is its content.

    `hold`, as AXI allows it: "aw" takes an address only when a word of its burst is there, "w" a word only when the
    address has been taken. `fault`: the first word read ("r") or the first write ("b") is answered with an error.
    """

    def __init__(
        self,
        port: Any,
        data: np.ndarray,
        bus_bytes: int,
        *,
        latency: int = 4,
        stall: float = 0.0,
        seed: int = 0,
        hold: str = "",
        fault: str = "",
    ):
        assert hold in ("", "aw", "w") and fault in ("", "r", "b")
        self.fault = fault
        self.port, self.data, self.bus_bytes, self.latency, self.stall = port, data, bus_bytes, latency, stall
        self.hold = hold
        self.random = random.Random(seed)
        self.words_read = self.words_written = 0

    def attach(self, sim: Any) -> None:
        sim.add_testbench(self.read, background=True)
        sim.add_testbench(self.write, background=True)

    def wait(self) -> bool:
        return self.random.random() < self.stall

    def check(self, address: int, length: int, size: int, burst: int) -> None:
        assert address % self.bus_bytes == 0, hex(address)
        assert 1 << size == self.bus_bytes and burst == 1
        assert address // 4096 == (address + length * self.bus_bytes - 1) // 4096, "a burst crosses 4 KB"
        assert address + length * self.bus_bytes <= len(self.data), (hex(address), length)

    async def read(self, ctx: Any) -> None:
        p = self.port
        pending: deque[tuple[int, int, bool]] = deque()  # cycle from which it may be given, address, last
        cycle, given, ready = 0, False, False
        steady = Steady("AR")
        while True:
            ctx.set(p.arready, ready)
            _, _, valid, address, length, size, burst, taken = await ctx.tick().sample(
                p.arvalid, p.araddr, p.arlen, p.arsize, p.arburst, p.rready
            )
            cycle += 1
            steady.check(ready, valid, address, length, size, burst)
            if valid and ready:
                self.check(address, length + 1, size, burst)
                for i in range(length + 1):
                    pending.append((cycle + self.latency, address + i * self.bus_bytes, i == length))
            if given and taken:
                self.words_read += 1
                given = False
            if not given:
                given = bool(pending) and pending[0][0] <= cycle and not self.wait()
                if given:
                    _, at, last = pending.popleft()
                    ctx.set(p.rdata, int.from_bytes(self.data[at : at + self.bus_bytes].tobytes(), "little"))
                    ctx.set(p.rlast, last)
                    ctx.set(p.rresp, 2 if self.fault == "r" and self.words_read == 0 else 0)
                ctx.set(p.rvalid, given)
            ready = len(pending) < 256 and not self.wait()

    async def write(self, ctx: Any) -> None:
        p = self.port
        asked: deque[tuple[int, int]] = deque()
        words: deque[tuple[int, int, int]] = deque()
        answers: deque[int] = deque()
        cycle, aw, w, given, given_before = 0, False, False, False, 0
        steady_address, steady_word = Steady("AW"), Steady("W")
        while True:
            ctx.set(p.awready, aw)
            ctx.set(p.wready, w)
            _, _, aw_valid, address, length, size, burst, w_valid, data, strobe, last, taken = await ctx.tick().sample(
                p.awvalid, p.awaddr, p.awlen, p.awsize, p.awburst, p.wvalid, p.wdata, p.wstrb, p.wlast, p.bready
            )
            cycle += 1
            steady_address.check(aw, aw_valid, address, length, size, burst)
            steady_word.check(w, w_valid, data, strobe, last)
            if aw_valid and aw:
                self.check(address, length + 1, size, burst)
                asked.append((address, length + 1))
            taken_word = bool(w_valid and w)
            if taken_word:
                words.append((data, strobe, last))
            if given and taken:
                given = False
            if asked and len(words) >= asked[0][1]:
                at, count = asked.popleft()
                for i in range(count):
                    value, mask, end = words.popleft()
                    assert bool(end) == (i == count - 1), "WLAST"
                    keep = np.array([(mask >> j) & 1 for j in range(self.bus_bytes)], bool)
                    new = np.frombuffer(value.to_bytes(self.bus_bytes, "little"), np.uint8)
                    where = slice(at + i * self.bus_bytes, at + (i + 1) * self.bus_bytes)
                    self.data[where] = np.where(keep, new, self.data[where])
                    self.words_written += 1
                answers.append(cycle + self.latency)
            if not given:
                given = bool(answers) and answers[0] <= cycle and not self.wait()
                if given:
                    answers.popleft()
                    ctx.set(p.bresp, 2 if self.fault == "b" and given_before == 0 else 0)
                    given_before += 1
                ctx.set(p.bvalid, given)
            aw, w = len(asked) < 4 and not self.wait(), len(words) < 64 and not self.wait()
            open_words = sum(count for _, count in asked) - len(words)  # of addresses taken, not here; negative: early
            if self.hold == "aw":
                aw = aw and (open_words < 0 or (open_words == 0 and w_valid and not taken_word))
            elif self.hold == "w":
                w = w and open_words > 0
