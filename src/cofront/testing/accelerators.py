"""The conformance suite of accelerators: subclass `AcceleratorConformance`, say which is yours, inherit the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cofront.device import Device
from cofront.device import load as load_device
from cofront.errors import InputError, UsageError
from cofront.hardware.base import Accelerator
from cofront.network import Builder, Network
from cofront.problem import INFEASIBLE, CodesignProblem
from cofront.search.evaluator import Evaluator
from cofront.search.exact.fit import fit
from cofront.search.walk import Paths
from cofront.space import Space

#: Configurations of every engine that are costed both ways.
_SAMPLES = 6


def example_networks() -> list[Network]:
    """Small networks at W8A8 of what every family should run: full, pointwise and depthwise layers, a residual sum."""
    plain = Builder("plain", (3, 16, 16))
    plain.block = "stem"
    plain.conv(8, 3, 2, act="relu", name="stem")
    plain.block = "one"
    plain.conv(12, 1, act="relu", name="one.expand")
    plain.depthwise(3, act="relu", name="one.dw")
    out = plain.conv(8, 1, name="one.project")
    plain.sum(out, "stem.act", name="one.add")
    plain.block = "head"
    plain.classifier(5, name="head")
    full = Builder("full", (3, 12, 12))
    for i, width in enumerate((8, 16)):
        full.block = f"b{i}"
        full.conv(width, 3, 1 + i, act="relu", name=f"b{i}.conv")
    full.block = "head"
    full.classifier(4, name="head")
    return [plain.build().uniform_bits(8, 8), full.build().uniform_bits(8, 8)]


def random_configurations(
    problem: CodesignProblem, rng: np.random.Generator, n: int
) -> list[tuple[int, tuple[int, ...]]]:
    """(engine, one configuration per kernel), n of every engine; whether they fit the budget does not matter."""
    return [
        (e, tuple(int(rng.integers(len(k.params))) for k in engine.kernels))
        for e, engine in enumerate(problem.engines)
        for _ in range(n)
    ]


class AcceleratorConformance:
    """Set `accelerator` (the object that registers) and, for the co-design tests, `space`.

    `grid` should be a small grid of the family's own; `device` is a part that it runs on.
    """

    accelerator: Accelerator
    space: Callable[[], Space] | None = None
    device: str = "zu3eg"
    grid: Any = "coarse"
    networks: Callable[[], list[Network]] = staticmethod(example_networks)

    @pytest.fixture
    def part(self) -> Device:
        return load_device(self.device)

    @pytest.fixture
    def problems(self, part: Device) -> list[tuple[Network, CodesignProblem]]:
        return [(n, self.accelerator.network_problem(n, part, self.grid)) for n in type(self).networks()]

    def test_a_cost_is_the_sum_of_its_calls(self, part: Device) -> None:
        for network in type(self).networks():
            cost = self.accelerator.estimate(network, part)
            assert cost.feasible, cost.infeasible
            assert cost.cycles == sum(c.cycles for c in cost.calls) > 0
            assert cost.latency_s == pytest.approx(cost.cycles / cost.clock_hz)
            assert cost.clock_hz == part.clock_hz
            assert set(cost.resources) == set(cost.budget) == set(part.budget)
            assert all(0 <= cost.resources[r] <= cost.budget[r] for r in cost.resources)
            assert cost.macs == network.macs
            layers = [name for c in cost.calls for name in c.layers]
            assert len(layers) == len(set(layers))
            assert {n.name for n in network.layers} <= set(layers)
            for call in cost.calls:
                assert call.bytes_moved > 0
                assert all(0 <= busy <= call.cycles for busy in call.kernels.values())

    def test_half_the_clock_is_no_faster(self, part: Device) -> None:
        for network in type(self).networks():
            fast = self.accelerator.estimate(network, part)
            slow = self.accelerator.estimate(network, part, clock_hz=part.clock_hz / 2)
            assert slow.clock_hz == part.clock_hz / 2
            assert fast.latency_s <= slow.latency_s <= 2.01 * fast.latency_s
        with pytest.raises(UsageError, match="clock must be above 0"):
            self.accelerator.estimate(network, part, clock_hz=2 * part.max_clock_hz)

    def test_configurations_survive_json(self, part: Device) -> None:
        network = type(self).networks()[0]
        first = self.accelerator.estimate(network, part)
        config = self.accelerator.config(first.config, first.clock_hz)
        again = self.accelerator.config(json.loads(json.dumps(config.to_dict())))
        assert again.to_dict() == config.to_dict()
        assert again.clock_hz == first.clock_hz
        assert self.accelerator.estimate(network, part, again).calls == first.calls
        broken: list[Any] = [None, [], {}, {**config.to_dict(), "nonsense": 1}]
        for bad in broken:
            with pytest.raises(InputError):
                self.accelerator.config(bad)

    def test_tables_and_costs_agree(self, part: Device, problems: list[tuple[Network, CodesignProblem]]) -> None:
        """The arrays that searches see, against the cost of the same configuration: cycles, resources, feasibility."""
        rng, compared = np.random.default_rng(0), 0
        for network, problem in problems:
            rows = problem.trellis.rows
            for e, chosen in random_configurations(problem, rng, _SAMPLES):
                engine = problem.engines[e]
                latency = engine.row_latency(chosen)[rows]
                cost = self.accelerator.estimate(network, part, self.accelerator.config_of(problem, engine, chosen))
                used = dict(zip(problem.resource_names, engine.resources(chosen).tolist(), strict=True))
                assert cost.resources == used
                fits = bool(np.all(engine.resources(chosen) <= problem.budget))
                runs = bool(np.all(latency < INFEASIBLE))
                assert cost.feasible == (fits and runs)
                if runs:
                    assert [c.cycles for c in cost.calls] == latency.tolist()
                    compared += 1
        assert compared

    def test_the_best_is_the_best_and_more_budget_is_no_worse(
        self, part: Device, problems: list[tuple[Network, CodesignProblem]]
    ) -> None:
        rng = np.random.default_rng(1)
        for network, problem in problems:
            best = fit(problem)
            assert best.status == "optimal"
            engine = next(e for e in problem.engines if e.name == best.engine)
            cost = self.accelerator.estimate(network, part, self.accelerator.config_of(problem, engine, best.chosen))
            assert (cost.cycles, cost.resources, cost.feasible) == (best.cycles, best.resources, True)
            if best.energy_j is not None and cost.energy_j is not None:
                assert cost.energy_j == pytest.approx(best.energy_j)
            for e, chosen in random_configurations(problem, rng, 20):
                other = problem.engines[e]
                if np.all(other.resources(chosen) <= problem.budget):
                    assert int(other.row_latency(chosen)[problem.trellis.rows].sum()) >= best.cycles
            half = part.with_budget(**{r: v // 2 for r, v in part.budget.items()})
            less = fit(self.accelerator.network_problem(network, half, self.grid))
            assert less.status == "infeasible" or less.cycles >= best.cycles

    def test_what_does_not_fit_is_named(self, part: Device) -> None:
        network = type(self).networks()[0]
        config = self.accelerator.config(self.accelerator.estimate(network, part).config, part.clock_hz)
        none = part.with_budget(**dict.fromkeys(part.budget, 0))
        cost = self.accelerator.estimate(network, none, config)
        assert not cost.feasible
        over = {e.limit: e for e in cost.infeasible}
        for name, used in cost.resources.items():
            assert (name in over) == (used > 0)
            if used:
                assert (over[name].needed, over[name].available) == (used, 0)

    def test_the_roofline_holds(self, part: Device) -> None:
        for network in type(self).networks():
            cost = self.accelerator.estimate(network, part)
            rows = self.accelerator.breakdown(cost)
            assert {r.call for r in rows} == {c.name for c in cost.calls}
            assert all(0 <= r.utilisation <= 1 + 1e-9 for r in rows)
            assert sum(r.macs for r in rows) == network.macs
            points = self.accelerator.roofline(cost, part)
            assert {p.call for p in points} <= {c.name for c in cost.calls}
            for p in points:
                assert 0 < p.attained_macs_per_s <= p.ceiling_macs_per_s * (1 + 1e-9)
                assert p.ceiling_macs_per_s <= p.peak_macs_per_s * (1 + 1e-9)

    def test_a_space_costs_what_its_networks_do(self, part: Device) -> None:
        """Costs of a path of the co-design problem, against those of the network that its point stands for."""
        if self.space is None:
            pytest.skip("no space given")
        space = type(self).space()  # type: ignore[misc]
        layered = space.layered()
        score = np.zeros(layered.trellis.n_edges, dtype=np.int64)
        problem = self.accelerator.codesign_problem(layered, part, score, grid=self.grid)
        rng, evaluator, paths, compared = np.random.default_rng(2), Evaluator(problem), Paths(problem.trellis), 0
        for point in space.sample(rng, 3):
            network, path = space.network(point), paths(point)
            for e, chosen in random_configurations(problem, rng, 2):
                config = self.accelerator.config_of(problem, problem.engines[e], chosen)
                cost = self.accelerator.estimate(network, part, config)
                cycles = int(evaluator.edge_latency(e, chosen)[path].sum())
                if cycles < INFEASIBLE:
                    assert cost.cycles == cycles
                    compared += 1
                else:
                    assert not cost.feasible
        assert compared
