"""The float network of a point: it computes what the supernet computes with the same batch-norm statistics."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cofront.errors import InputError  # noqa: E402
from cofront.network import Builder  # noqa: E402
from cofront.network.pytorch import to_torch  # noqa: E402
from cofront.network.weights import weight_shapes  # noqa: E402
from cofront.task.folded import float_inputs, folded  # noqa: E402
from cofront.task.subnet import as_point, decode, middle, smallest  # noqa: E402
from cofront.task.supernet import Stats, Supernet  # noqa: E402


def _supernet() -> Supernet:
    net = Supernet(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for values in (*net.gammas.values(), *net.betas.values()):
            values.add_(0.2 * torch.randn(values.shape, generator=generator))
    return net.eval().requires_grad_(False)


def _images(n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("point", [smallest(), middle(2)])
def test_it_computes_what_the_supernet_computes(point: np.ndarray) -> None:
    net, images = _supernet(), _images(48)
    network, weights = folded(point, images, net)
    sub, stats = decode(point), Stats()
    with torch.inference_mode():
        x = float_inputs(images, sub.resolution)
        net(x, sub, stats=stats, update=True)
        other = float_inputs(_images(60)[48:], sub.resolution)
        want = net(other, sub, stats=stats)
        got = to_torch(network, weights).eval()(other)
    assert torch.allclose(got, want, atol=1e-3 * float(want.abs().max()))
    assert set(weights) == set(weight_shapes(network))
    assert all(n.weight_bits is None and n.in_bits is None and n.out_bits is None for n in network.nodes)


def test_a_network_of_the_space_is_its_point() -> None:
    from cofront.space.subgraph32 import Subgraph32

    net, images = _supernet(), _images(32)
    point = as_point(smallest(1))
    a, wa = folded(point, images, net)
    b, wb = folded(Subgraph32().network(point), images, net)
    assert a == b and all(np.array_equal(wa[k], wb[k]) for k in wa)


def test_other_networks_and_too_few_images_are_refused() -> None:
    b = Builder("other", (3, 32, 32))
    b.conv(8, 3, act="relu", name="first")
    b.classifier(10)
    with pytest.raises(InputError, match="node 'first' is not of a network of subgraph32"):
        folded(b.build(), _images(16), _supernet())
    with pytest.raises(InputError, match="need at least 16 images, got 3"):
        folded(smallest(), _images(3), _supernet())
