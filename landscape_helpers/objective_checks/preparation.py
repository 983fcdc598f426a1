"""What an objective makes of a caller's model and data: its own, where it computes, in its dtype, mode and layout."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrizations

from ..twice_differentiable import replace_weight_norm
from .arguments import LossFunction
from .isolation import copy_of, undisturbed
from .wording import COMPLEX_OF_REAL


def prepared_model(model: nn.Module, batchnorm: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy of the model in evaluation mode (no dropout), with BatchNorm told which statistics to use.

    A BatchNorm layer without running statistics normalises with those of its input in either mode.
    """
    own = copy_of(model)
    check_real(own)
    # As Module.to, which makes complex tensors real and so another function of the model.
    own._apply(lambda t: t.to(device, _partner(dtype, t)))
    replace_weight_norm(own)
    check_orthogonal(own)
    make_exact(own)
    keep_from_cudnn(own)
    own.eval()
    if batchnorm == "frozen":
        return own
    for module in own.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean = module.running_var = None
            module.num_batches_tracked = None
            module.track_running_stats = False
    return own


def _partner(dtype: torch.dtype, tensor: torch.Tensor) -> torch.dtype:
    if tensor.is_complex():
        return torch.complex128 if dtype == torch.float64 else torch.complex64  # half of it computes nearly nothing
    return dtype if tensor.is_floating_point() else tensor.dtype


def check_real(model: nn.Module) -> None:
    """Refuse complex parameters that would be part of theta, a vector of real numbers.

    Raises:
        ValueError: there is one.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.is_complex():
            raise ValueError(
                f"parameter {name} is complex ({parameter.dtype}), and theta holds real numbers: keep it as a real "
                f"parameter of shape (..., 2) and take {COMPLEX_OF_REAL} of it"
            )


def check_orthogonal(model: nn.Module) -> None:
    """Refuse orthogonal weights made of Householder reflections, whose signs torch reads by truncating parameters.

    Each sign is a parameter at 1 or -1 that has no gradient: a step of any length turns it into 0, and the loss jumps.

    Raises:
        ValueError: there are such weights.
    """
    for name, module in model.named_modules():
        if isinstance(module, parametrizations._Orthogonal) and module.orthogonal_map.name == "householder":
            raise ValueError(
                f"{name} is orthogonal by Householder reflections, whose signs are parameters at which the loss jumps: "
                "pass orthogonal_map='matrix_exp' or 'cayley' to torch.nn.utils.parametrizations.orthogonal"
            )


def make_exact(model: nn.Module) -> None:
    """Let embeddings have the gradient of the loss, whatever they have in its place to train with.

    Raises:
        ValueError: an embedding that writes to its weights in the forward pass.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            if module.max_norm is not None:
                raise ValueError(
                    f"the embedding {name!r} has max_norm={module.max_norm}, by which its forward pass rescales its "
                    "weights: the loss is then no function of theta with this gradient; pass max_norm=None"
                )
            module.scale_grad_by_freq = module.sparse = False


def keep_from_cudnn(model: nn.Module) -> None:
    """Have recurrent layers computed by PyTorch's own kernels.

    Those of cuDNN have no gradient in evaluation mode, and no second derivative in any.
    """
    for module in model.modules():
        if isinstance(module, nn.RNNBase) and _leave_cudnn not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_leave_cudnn)
            module.register_forward_hook(_return_to_cudnn, always_call=True)


def _leave_cudnn(module: nn.Module, inputs: object) -> None:
    module._cudnn_before = torch.backends.cudnn.enabled  # type: ignore[assignment]
    torch.backends.cudnn.enabled = False


def _return_to_cudnn(module: nn.Module, inputs: object, outputs: object) -> None:
    torch.backends.cudnn.enabled = bool(module._cudnn_before)


def prepared_data(
    model: nn.Module, loss: LossFunction, x: torch.Tensor, y: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.memory_format]:
    """(x, y, layout of x) without autograd history: numbers in ``dtype``, whole numbers such as labels as they are.

    Args:
        model: the prepared one, on which the layout is tried.
        loss: of outputs and targets.
        x, y: the caller's; what is returned shares no memory with them.
        device, dtype: where the objective computes.
    """
    given, x, y = (x, y), x.detach(), y.detach()
    x = x.to(device, dtype) if x.is_floating_point() else x.to(device)
    layout = _layout(x, model)
    x = _own(x.contiguous(memory_format=layout), given)
    y = y.to(device, dtype) if y.is_floating_point() else y.to(device)
    if y.dtype == torch.uint8 and loss is nn.functional.cross_entropy:
        y = y.long()  # as bytes, an index computed from labels overflows and labels used as indices are a mask
    return x, _own(y, given), layout


def _own(tensor: torch.Tensor, given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """The tensor, copied where it shares the caller's memory, who may write to it later."""
    storages = {t.untyped_storage().data_ptr() for t in given}
    return tensor.clone() if tensor.untyped_storage().data_ptr() in storages else tensor


def _layout(x: torch.Tensor, model: nn.Module) -> torch.memory_format:
    """For images the layout in which oneDNN's and cuDNN's convolutions are up to three times faster.

    A model that cuts its activations with ``view`` does not take it and gets the usual one.
    """
    if x.dim() != 4:
        return torch.contiguous_format
    try:
        with undisturbed(model, x.device):
            model(x[:2].contiguous(memory_format=torch.channels_last).clone())
    except Exception:  # whatever it raises: what is wrong with the usual layout too is said by the trial on it
        return torch.contiguous_format
    return torch.channels_last
