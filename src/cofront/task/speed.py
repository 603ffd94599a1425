"""Fast training of any module that `to_torch` built: bfloat16 activations, float32 weights, the own kernels on a CPU.

What it does to a module: convolutions take bfloat16 images in training, and compute their batch norm and the ReLU
behind it in the same kernels. Parameters, their gradients and running statistics stay float32 under their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cofront.network.torch_io.module import AdderNorm, ConvNorm, Dense, NetworkModule, ShiftNorm
from cofront.network.torch_io.shift_adder import power_of_two
from cofront.task.depthwise import depthwise
from cofront.task.native import keep_memory, library
from cofront.task.normalise import Running, norm_relu

M = TypeVar("M", bound=nn.Module)

#: Upper ends of the activations that the normalisation's kernel computes as well.
CAPS = {"relu": float("inf"), "relu6": 6.0}
_HALF = torch.bfloat16


def input_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """The type that images should have on a device: float32 where bfloat16 is no faster.

    On a CPU bfloat16 needs its own instructions and the own kernels: PyTorch's depthwise convolutions are slower in it.
    """
    if torch.device(device).type == "cuda":
        return _HALF if torch.cuda.is_bf16_supported() else torch.float32
    if torch.device(device).type != "cpu" or library("depthwise") is None or library("normalise") is None:
        return torch.float32
    flags = Path("/proc/cpuinfo").read_text()  # there, since the kernels are
    return _HALF if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32


class _FastConvNorm(ConvNorm):
    """bfloat16 inputs (n, c, h, w): in training a bfloat16 output, in eval mode what float32 gives."""

    def taps(self) -> Tensor:
        """The weights that are multiplied with."""
        return self.weight

    def convolved(self, x: Tensor) -> Tensor:
        if x.dtype != _HALF:
            return super().convolved(x)
        x = x.contiguous(memory_format=torch.channels_last)
        kernel, dilation, stride = self.kernel_size[0], self.dilation[0], self.stride[0]
        # alike in both directions, and an output of the input's size over the stride
        usual = (
            kernel % 2 == 1
            and (self.kernel_size, self.dilation, self.stride) == ((kernel,) * 2, (dilation,) * 2, (stride,) * 2)
            and self.padding == (dilation * (kernel // 2),) * 2
        )
        if usual and x.device.type == "cpu" and self.groups == self.in_channels == self.out_channels > 1:
            y = depthwise(x, self.taps(), stride, dilation)
            return y if self.bias is None else y + self.bias[:, None, None].to(_HALF)
        bias = None if self.bias is None else self.bias.to(_HALF)
        if usual and x.device.type == "cpu" and kernel == stride == self.groups == 1:
            # a product of matrices: its backward takes half the time of the convolution's where images are small
            y = F.linear(x.permute(0, 2, 3, 1), self.taps().flatten(1).to(_HALF), bias)
            return y.permute(0, 3, 1, 2)
        return F.conv2d(x, self.taps().to(_HALF), bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != _HALF or not self.training:
            return super().forward(x.float() if x.dtype == _HALF else x)
        norm = self.norm
        if norm is None or self.act not in (None, *CAPS):
            return super().forward(x)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        running = Running(norm.running_mean, norm.running_var, norm.momentum)
        cap = CAPS.get(self.act or "", 0.0)
        return norm_relu(
            self.convolved(x), norm.weight, norm.bias, norm.eps, self.act is not None, cap=cap, running=running
        )


class _FastShiftNorm(_FastConvNorm, ShiftNorm):
    def taps(self) -> Tensor:
        return power_of_two(self.weight, self.bits)


class _FastAdderNorm(AdderNorm):
    """In float32: sums of absolute differences have no faster kernel here."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x.float() if x.dtype == _HALF else x)
        return y.to(_HALF) if x.dtype == _HALF and self.training else y


class _FastDense(Dense):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float() if x.dtype == _HALF else x)


_FAST: dict[type[nn.Module], type[nn.Module]] = {
    ConvNorm: _FastConvNorm,
    ShiftNorm: _FastShiftNorm,
    AdderNorm: _FastAdderNorm,
    Dense: _FastDense,
}


def speed_up(module: M) -> M:
    """The same module, whose networks train fast with images of `input_dtype()`; changed in place.

    Images in float32, and eval mode, give bit for bit what they gave before. Names in its `state_dict` are the same.
    The process keeps its memory from now on (`native.keep_memory`).
    """
    keep_memory()
    for part in list(module.modules()):
        if isinstance(part, NetworkModule):
            part.fuse_activations(("relu", "relu6"))
        fast = _FAST.get(type(part))
        if fast is not None:
            part.__class__ = fast
    return module
