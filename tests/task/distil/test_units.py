"""The teacher in parts: norms that were folded come back, and the parts together are the network."""

import numpy as np
import pytest
import torch
from distil_helpers import network

from cofront.errors import InputError
from cofront.network import Builder
from cofront.network.pytorch import fold_batchnorm, to_torch
from cofront.network.weights import random_weights
from cofront.space.operators_of import units_of
from cofront.task.distil.restore import restored, with_norms
from cofront.task.distil.units import Teacher, assembled, inputs_of, quick


def test_restored_norms_change_nothing_in_eval_and_little_in_training(net, weights, images):
    x = inputs_of(net, images[0])
    folded, back = to_torch(net, weights).eval(), restored(net, weights, x)
    with torch.no_grad():
        expected = folded(x)
        assert torch.allclose(back(x), expected, atol=1e-3)
        in_training = back.train()(x)
        spoilt = folded.train()(x)
    scale = float(expected.std())
    assert float((in_training - expected).abs().max()) < 0.05 * scale
    assert float((spoilt - expected).abs().max()) > 0.3 * scale  # what the norms would do if nothing were done
    assert float(back.layer("stem").norm.running_var.std()) > 0


def test_restored_weights_fold_to_what_they_were(net, weights, images):
    again = fold_batchnorm(restored(net, weights, inputs_of(net, images[0])))
    for key, value in weights.items():
        assert np.allclose(again[key], value, atol=1e-3), key


def test_a_bias_becomes_a_norm_with_the_same_weights():
    b = Builder("plain", (3, 8, 8))
    b.conv(8, 3, bias=True, norm=False, act="relu", name="c")
    b.squeeze_excite(2, prefix="se")
    b.classifier(4)
    plain = b.build()
    normed = with_norms(plain)
    assert normed.by_name["c"].op.norm and not normed.by_name["c"].op.bias
    assert normed.by_name["se.reduce"].op.bias  # one number a channel has no statistics
    values = random_weights(plain, np.random.default_rng(0))
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = to_torch(plain, values).eval()(x)
        assert torch.allclose(to_torch(normed, values).eval()(x), same, atol=1e-5)


def test_one_image_has_no_statistics(net, weights, images):
    with pytest.raises(InputError, match="at least 2 images, got 1"):
        restored(net, weights, inputs_of(net, images[0][:1]))


def test_parts_in_turn_are_the_network(teacher, net, weights, images):
    x = inputs_of(net, images[0][:20])
    features = teacher.features(x)
    with torch.no_grad():
        whole = to_torch(net, weights).eval()(x)
    assert len(features) == 5 and torch.allclose(features[-1], whole, atol=1e-3)
    for i in range(4):
        assert torch.equal(teacher.behind(i, features[i + 1]), features[-1])


def test_a_layer_that_no_part_has_is_named(teacher):
    with pytest.raises(InputError, match=r"no trained layer 'stem' among its parts"):
        assembled(teacher.network, teacher.modules[1:])


def test_the_quick_one_computes_the_same(net, weights, images):
    x = inputs_of(net, images[0][:20])
    with torch.no_grad():
        expected = to_torch(net, weights).eval()(x)
        assert torch.allclose(quick(net, weights, torch.float32)(x), expected, atol=1e-4)
        coarse = quick(net, weights, torch.bfloat16)(x.bfloat16()).float()
    assert float((coarse - expected).abs().max()) < 0.05 * float(expected.abs().max())


def test_a_teacher_of_another_size_of_images(images):
    net = network()
    teacher = Teacher(units_of(net), random_weights(net, np.random.default_rng(2)), images[0].repeat(2, 1).repeat(2, 2))
    assert teacher.features(inputs_of(net, images[0][:3].repeat(2, 1).repeat(2, 2)))[0].shape == (3, 3, 12, 12)
