"""Images, labels, classes and where they came from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch


@dataclass(frozen=True, eq=False)  # tensors have no one truth value: a data set equals itself alone
class Data:
    """A classification data set in memory.

    Attributes:
        name: of the data set.
        x_train: (n, C, H, W) pixel values, uint8 as stored, float32 after :meth:`pooled`.
        y_train: (n,) int64 class indices.
        x_test: (m, C, H, W).
        y_test: (m,).
        classes: name of each class.
        provenance: name, source, checksum and what it is of, counts, subset rule, original positions of the images
            until some are taken away, and pooling, as plain strings and numbers.

    Raises:
        ValueError: images and labels that do not fit together, labels outside the classes, or training and test images
            of different shape.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    classes: tuple[str, ...]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        for split, x, y in (("train", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            if x.dim() != 4 or y.dim() != 1 or len(x) != len(y):
                raise ValueError(
                    f"{self.name} {split}: expected images (n, C, H, W) and labels (n,) of equal n, got "
                    f"{tuple(x.shape)} and {tuple(y.shape)}"
                )
            if len(y) and not (0 <= int(y.min()) and int(y.max()) < self.n_classes):
                raise ValueError(
                    f"{self.name} {split}: labels run from {int(y.min())} to {int(y.max())}, but there are "
                    f"{self.n_classes} classes (0 to {self.n_classes - 1})"
                )

        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise ValueError(
                f"{self.name}: training images have shape {tuple(self.x_train.shape[1:])} (C, H, W), but test images "
                f"{tuple(self.x_test.shape[1:])}"
            )

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.x_train.shape
        return channels, height, width

    def provenance_without_positions(self) -> dict[str, Any]:
        """For a part of the images, whose positions are others than those of all."""
        return {name: value for name, value in self.provenance.items() if not name.startswith("index_")}

    def standardised(
        self, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(x_train, y_train, x_test, y_test) with zero mean and unit variance in each channel.

        Mean and standard deviation are those of the training images over samples and pixels; a channel without variance
        is only shifted. None of the papers states its input normalisation; this is the usual choice.

        Args:
            dtype: of the images returned; computed in double precision.

        Raises:
            ValueError: a dtype that is no floating type.
        """
        if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"dtype must be a floating type such as torch.float32, got {dtype!r}")
        pixels = self.x_train.double()
        mean = pixels.mean((0, 2, 3), keepdim=True)
        deviation = pixels.std((0, 2, 3), correction=0, keepdim=True)
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        del pixels  # eight times the size of the images as stored

        def scaled(x: torch.Tensor) -> torch.Tensor:
            out = torch.empty(x.shape, dtype=dtype)
            for start in range(0, len(x), 1000):
                out[start : start + 1000] = (x[start : start + 1000].double() - mean) / deviation
            return out

        return scaled(self.x_train), self.y_train, scaled(self.x_test), self.y_test

    def pooled(self, k: int) -> Data:
        """The same images averaged over k x k squares of pixels; pooled again, the factors multiply.

        Raises:
            ValueError: a k that does not divide height and width.
        """
        _, height, width = self.input_shape
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1 or height % k or width % k:
            raise ValueError(f"pooling by {k} needs a whole number of squares in {height}x{width} pixels")
        pool = torch.nn.functional.avg_pool2d
        return dataclasses.replace(
            self,
            x_train=pool(self.x_train.float(), k),
            x_test=pool(self.x_test.float(), k),
            provenance={**self.provenance, "pooled": self.provenance.get("pooled", 1) * k},
        )
