"""Which predictions of a classifier are right: one reading of outputs and labels for everything that counts them."""

from __future__ import annotations

import math

import torch


class Tally:
    """Counts the labels that are predicted, over any number of batches; the accuracy is their share.

    A label of no class, such as the -100 that the cross-entropy ignores or the 255 of many segmentations, asks for no
    prediction and does not count.
    """

    def __init__(self) -> None:
        self.right = self.labels = 0

    def add(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch; arguments and errors are those of :func:`right_predictions`."""
        self.right += int(right_predictions(outputs, labels).sum())
        self.labels += int(((labels >= 0) & (labels < outputs.shape[1])).sum())

    @property
    def share(self) -> float:
        """Right predictions by labels of a class, from 0 to 1; NaN where there is no such label."""
        return self.right / self.labels if self.labels else math.nan


def right_predictions(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether the largest output over the classes is the label's, for each label.

    Classes lie where ``torch.nn.functional.cross_entropy`` has them: along axis 1. A label of no class is none's.

    Args:
        outputs: (n, C), or (n, C, d1, ...) for sequences and segmentations, with at least two classes.
        labels: class indices (n,) or (n, d1, ...).

    Returns:
        Truth values in the shape of ``labels``.

    Raises:
        ValueError: outputs that are no tensor, have no axis of classes or a single class; labels that are no class
            indices or of another shape than the predictions.
    """
    if not isinstance(outputs, torch.Tensor):
        raise ValueError(
            f"accuracy needs a model that returns one tensor of outputs (n, C, ...), got a {type(outputs).__name__}"
        )
    if labels.is_floating_point():
        raise ValueError(f"accuracy needs class indices as targets, got targets of dtype {labels.dtype}")
    if outputs.dim() < 2:
        raise ValueError(
            f"accuracy needs one output a class, (n, C, ...), got outputs of shape {tuple(outputs.shape)}: a single "
            "output says nothing of classes without a threshold; return one output for each class"
        )
    if outputs.shape[1] == 1:
        raise ValueError(
            f"accuracy needs at least two classes along axis 1, got outputs of shape {tuple(outputs.shape)}: the "
            "largest of a single output is always the first; return one output for each class, or do without accuracy"
        )
    predictions = outputs.argmax(1)
    if predictions.shape != labels.shape:
        raise ValueError(_other_shape(tuple(outputs.shape), tuple(labels.shape), tuple(predictions.shape)))
    return predictions == labels.to(predictions.device)


def _other_shape(outputs: tuple[int, ...], labels: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    message = (
        f"accuracy needs one label for each prediction: outputs of shape {outputs}, with the classes along axis 1, "
        f"take labels of shape {wanted}, got {labels}"
    )
    if labels == (*wanted, 1):
        return f"{message}: pass y.squeeze(-1)"
    if len(outputs) > 2 and labels == outputs[:-1]:
        return f"{message}: where the classes are the last axis, move it with outputs.movedim(-1, 1)"
    return message
