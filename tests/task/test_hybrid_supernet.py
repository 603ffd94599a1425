"""The hybrid supernet: slices are networks of their own; progressive phases train what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.errors import UsageError  # noqa: E402
from cofront.network.pytorch import to_torch  # noqa: E402
from cofront.search.gradient.relax import one_hot, top_k  # noqa: E402
from cofront.space.chain import places  # noqa: E402
from cofront.space.nasa import SPACES, UNITS, Key, Nasa, units_of  # noqa: E402
from cofront.task.hybrid_supernet import COMMON, HybridSupernet, _key  # noqa: E402
from cofront.task.progressive import (  # noqa: E402
    ALL,
    JOINT,
    PROGRESSIVE,
    NotFinite,
    Pretraining,
    accuracies,
    options,
    pretrain,
)

PLACES = places(((8, 1), (12, 2), (12, 1)), 8, 8)


def net(which: str = "add_all", **kw) -> HybridSupernet:
    names = (*(u.name for u in units_of(which)), "skip")
    return HybridSupernet(PLACES, [names] * 3, (8, 16), 4, **kw)


def images(n: int = 64):
    g = torch.Generator().manual_seed(0)
    return torch.randn((n, 3, 8, 8), generator=g), torch.randint(0, 4, (n,), generator=g)


@pytest.mark.parametrize("which", SPACES)
def test_every_option_is_the_units_network(which: str) -> None:
    """An option's output, against the same weights in the module of the space's own fragment."""
    space, supernet = Nasa(which), net(which, zero_gamma=False)
    x = torch.rand((4, 8, 8, 8))
    with torch.no_grad():
        for layer in (0, 1):
            place = PLACES[layer]
            x_in = x if layer == 0 else torch.rand((4, place.cin, place.side, place.side))
            for o, name in enumerate(supernet.operators[layer][:-1]):
                unit = UNITS[name]
                module = to_torch(space.fragment(Key(name, place))).train()
                stored = supernet.layers[layer][_key(unit)]
                hidden = unit.expand * place.cin
                label = f"l{place.number}"
                for part, mine, rows, columns in (
                    ("expand", stored.expand, hidden, place.cin // unit.groups),
                    ("dw", stored.filter, hidden, 1),
                    ("project", stored.project, place.cout, hidden // unit.groups),
                ):
                    module.layer(f"{label}.{part}").weight.copy_(mine.weight[:rows, :columns])
                torch.testing.assert_close(supernet.option(x_in, layer, o), module(x_in), rtol=1e-3, atol=1e-3)


def test_expansions_share_their_weights() -> None:
    supernet = net()
    wide = sum(p.numel() for p in supernet.layers[0].parameters())
    space = Nasa()
    of_wide = sum(
        space.fragment(Key(f"{k}_k{s}_e6", PLACES[0])).params for k in ("conv", "shift", "adder") for s in (3, 5)
    )
    assert wide == of_wide


def test_a_drawn_network_is_its_path() -> None:
    supernet, (x, _) = net(), images(8)
    choice = torch.tensor([3, 8, 18])
    with torch.no_grad():
        alone = supernet.path(x, choice.tolist())
        torch.testing.assert_close(supernet(x, one_hot(choice, (3, 19))), alone)
        draw = top_k(2)(torch.zeros((3, 19), dtype=torch.float64), 1.0, torch.Generator().manual_seed(1))
        assert supernet(x, draw).shape == (8, 4)
        assert supernet.first_bad(x, draw) == ""
        supernet.layers[1][_key(UNITS["shift_k3_e6"])].project.gamma.fill_(torch.nan)
        assert supernet.first_bad(x, one_hot(choice, (3, 19))) == "op1=shift_k3_e6"
        assert supernet.first_bad(x * torch.nan, draw) == "the batch of images"


def test_units_with_a_residual_start_as_the_identity() -> None:
    x = torch.randn(4, 8, 8, 8)
    with torch.no_grad():
        assert all(torch.equal(net().option(x, 0, o), x) for o in range(19))
        assert not torch.equal(net(zero_gamma=False).option(x, 0, 0), x)


def test_phases_are_the_published_ones() -> None:
    recipe = Pretraining(steps=120)
    starts = [0, 20, 40, 60, 80, 119]
    assert [recipe.phase_at(s) for s in starts] == [0, 1, 2, 3, 4, 4]
    assert [recipe.phase_at(s - 1) for s in starts[1:5]] == [0, 1, 2, 3]
    supernet = net()
    found = [{supernet.operators[0][o] for o in options(supernet, p)[0]} for p in PROGRESSIVE]
    assert found[0] == {"conv_k3_e6", "conv_k5_e6", "shift_k3_e6", "shift_k5_e6"}
    assert len(found[1]) == 13 and len(found[4]) == 19 and found[3] == found[4]
    assert found[2] == found[0] | {"adder_k3_e6", "adder_k5_e6"}
    assert recipe.rate_at(0, "adder") == 0.1 and recipe.rate_at(0, "conv") == 0.05
    assert recipe.rate_at(120, "conv") == pytest.approx(1e-3)


def test_each_phase_trains_its_kinds_alone() -> None:
    (x, y), supernet = images(), net(zero_gamma=False)
    before: dict[str, list] = {}
    for number, phase in enumerate(PROGRESSIVE):
        before = {k: [p.detach().clone() for p in v] for k, v in supernet.kinds().items()}
        one = type(phase)(1.0, phase.kinds, phase.expansions, phase.trained)
        pretrain(supernet, x, y, Pretraining((one,), steps=12, batch=16, weight_decay=0.0, seed=number))
        for kind, parameters in supernet.kinds().items():
            changed = any(not torch.equal(a, b) for a, b in zip(before[kind], parameters, strict=True))
            assert changed == (kind in phase.trained), (number, kind)
    assert before.keys() == {COMMON, "conv", "shift", "adder"} <= {COMMON, *ALL}


def test_training_learns_and_repeats_itself() -> None:
    g = torch.Generator().manual_seed(3)
    y = torch.randint(0, 4, (128,), generator=g)
    x = torch.randn((4, 3, 1, 1), generator=g)[y] + 0.3 * torch.randn((128, 3, 8, 8), generator=g)
    results = []
    for _ in range(2):
        supernet = net(seed=1)
        losses = pretrain(supernet, x, y, Pretraining(JOINT, steps=40, batch=32))
        choices = np.random.default_rng(0).integers(0, 19, (5, 3))
        results.append((losses, accuracies(supernet, x, y, choices).tolist()))
    assert results[0] == results[1]
    assert np.mean(results[0][0][-8:]) < 0.7 * np.mean(results[0][0][:4])
    assert np.mean(results[0][1]) > 0.6
    assert all(p.requires_grad for p in supernet.parameters())


def test_bad_requests_and_bad_losses_are_named() -> None:
    x, y = images()
    with pytest.raises(UsageError, match=r"shares sum to 1, .* got shares of 0.5"):
        Pretraining((type(JOINT[0])(0.5, ALL, (), ALL),))
    with pytest.raises(UsageError, match="as many labels as images and a batch of 128, got 64 images"):
        pretrain(net(), x, y, Pretraining(steps=1))
    with pytest.raises(NotFinite, match=r"the loss is nan in step 0, phase 1, on the path \w+"):
        pretrain(net(), x * torch.nan, y, Pretraining(JOINT, steps=1, batch=16))
