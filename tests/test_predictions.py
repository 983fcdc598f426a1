"""Accuracies of sequences, segmentations and odd targets, counted label by label in plain Python."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers import Objective, slices
from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.descent import Evaluation, gradient_descent
from landscape_helpers.predictions import Tally, right_predictions

N, T = 24, 5


class Tagger(nn.Module):
    """Tokens (n, T) to outputs (n, V, T), or to one row (V,) a token."""

    def __init__(self, classes: int, rows: bool = False, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head, self.rows = nn.Embedding(classes, 4), nn.Linear(4, classes), rows
        self.norm = nn.BatchNorm1d(T) if norm else nn.Identity()
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.head(self.norm(torch.tanh(self.embedding(x))))
        return outputs.flatten(0, 1) if self.rows else outputs.transpose(1, 2)


class Direct(Tagger):
    """The same, but nothing can trace it: slices move the model itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if float(x.sum()) > 0 else x.clone())


def tokens(classes: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randint(0, classes, (N, T), generator=generator) for _ in range(2))
    return x, y


def share(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Label by label; the classes of outputs (n, V, T) are in the middle."""
    rows = outputs.tolist()
    right = [
        max(range(len(sample)), key=lambda c, s=sample, t=t: s[c][t]) == label[t]
        for sample, label in zip(rows, labels.tolist(), strict=True)
        for t in range(T)
    ]
    return sum(right) / len(right)


@pytest.mark.parametrize("model", [Tagger, Direct])
@pytest.mark.parametrize("classes", [T, 7])  # as many as tokens, where a wrong axis gives no error, and not
@pytest.mark.parametrize("batch_size", [None, 7])
def test_every_accuracy_of_a_sequence_model_counts_tokens(model, classes, batch_size):
    x, y = tokens(classes)
    x_valid, y_valid = tokens(classes, seed=2)
    objective = Objective(model(classes), x, y, batch_size=batch_size)
    theta = objective.theta
    direction = torch.randn(len(theta), generator=torch.Generator().manual_seed(3), dtype=theta.dtype)
    by_hand = Tagger(classes)
    truth = []
    for point in (theta, theta + direction):
        nn.utils.vector_to_parameters(point, by_hand.parameters())
        with torch.no_grad():
            truth.append((share(by_hand(x), y), share(by_hand(x_valid), y_valid)))
    assert truth[0] != truth[1], "both points would hide a line that stands still"

    on_line = slices.line(objective, theta, direction, [0.0, 1.0], accuracy=True).accuracy.values
    np.testing.assert_allclose(on_line, [own for own, _ in truth], rtol=1e-12)
    assert [objective.accuracy(p) for p in (theta, theta + direction)] == pytest.approx([own for own, _ in truth])
    assert accuracy_on(objective, theta, x_valid, y_valid, batch=5) == pytest.approx(truth[0][1])
    record = gradient_descent(objective, theta, 1e-3, 0, [Evaluation(1, x_valid, y_valid)]).record
    assert float(record.train_accuracy[0]) == pytest.approx(truth[0][0])
    assert float(record.validation_accuracy[0]) == pytest.approx(truth[0][1])


@pytest.mark.parametrize("ignored", [-100, 255])
def test_segmentation_counts_pixels_that_have_a_class(ignored):
    outputs = torch.zeros(1, 3, 2, 2)
    outputs[0, 0, 0, 0] = outputs[0, 1, 0, 1] = outputs[0, 2, 1, 0] = outputs[0, 2, 1, 1] = 1
    labels = torch.tensor([[[0, 1], [1, ignored]]])
    assert right_predictions(outputs, labels).tolist() == [[[True, True], [False, False]]]
    tally = Tally()
    assert math.isnan(tally.share)
    tally.add(outputs, labels)
    assert tally.share == 2 / 3


def test_ignored_labels_count_nowhere():
    """Three of the four that are left are predicted, whoever counts."""
    x = torch.eye(6).double()
    model = nn.Linear(6, 6, bias=False).double()
    theta = torch.eye(6).double().flatten()
    y = torch.tensor([0, 1, 2, -100, -100, 3])  # the last of them is class 5's

    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets, reduction="sum") / 6

    objective = Objective(model, x, y, loss=loss)
    assert objective.accuracy(theta) == 3 / 4
    assert accuracy_on(objective, theta, x, y, batch=4) == 3 / 4
    assert slices.line(objective, theta, theta, [0.0, 1.0], accuracy=True).accuracy.values.tolist() == [3 / 4, 3 / 4]
    record = gradient_descent(objective, theta, 1e-3, 0, [Evaluation(1, x, y)]).record
    assert float(record.train_accuracy[0]) == float(record.validation_accuracy[0]) == 3 / 4


def images() -> torch.Tensor:
    return torch.randn(N, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def classifier(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, outputs)).double()


def squeezed(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, y.reshape(-1))


def binary(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), y.double())


CASES = {
    "column": (3, torch.arange(N)[:, None] % 3, squeezed, r"take labels of shape \(\d+,\), got \(\d+, 1\): .*squeeze"),
    "binary": (1, torch.arange(N) % 2, binary, r"at least two classes along axis 1, got outputs of shape \(\d+, 1\)"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_no_accuracy_can_be_told_of_is_refused_and_does_without(case):
    outputs, y, loss, message = CASES[case]
    objective = Objective(classifier(outputs), images(), y, loss, batch_size=10)
    theta = objective.theta
    direction = torch.ones_like(theta)
    assert np.isfinite(slices.line(objective, theta, direction, [0.0, 1.0]).values).all()
    attempts = [
        lambda: objective.accuracy(theta),
        lambda: slices.line(objective, theta, direction, [0.0, 1.0], accuracy=True),
        lambda: accuracy_on(objective, theta, images(), y),
        lambda: gradient_descent(objective, theta, 0.1, 1, [Evaluation(1, images(), y)]),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=message):
            attempt()


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (torch.zeros(4, 5, 3), torch.zeros(4, 5, dtype=torch.long), r"labels of shape \(4, 3\), got \(4, 5\).*movedim"),
        (torch.zeros(4, 5), torch.zeros(3, dtype=torch.long), r"take labels of shape \(4,\), got \(3,\)$"),
        (torch.zeros(4), torch.zeros(4, dtype=torch.long), r"got outputs of shape \(4,\).*threshold"),
        (torch.zeros(4, 3), torch.zeros(4), "needs class indices as targets, got targets of dtype torch.float32"),
        ((torch.zeros(4, 3),), torch.zeros(4, dtype=torch.long), "one tensor of outputs .*, got a tuple"),
    ],
)
def test_other_layouts_get_a_sentence(outputs, labels, message):
    with pytest.raises(ValueError, match=message):
        right_predictions(outputs, labels)


def test_the_fast_path_of_a_linear_chain_counts_as_by_hand():
    x, y = images(), torch.arange(N) % 3
    net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3)).double()
    objective = Objective(net, x, y)
    theta = objective.theta
    direction = torch.randn(len(theta), generator=torch.Generator().manual_seed(3), dtype=theta.dtype)
    truth = []
    for c in (0.0, 1.0, 2.0):
        w1, b1, w2, b2 = objective.views(theta + c * direction)
        rows = ((x @ w1.T + b1).relu() @ w2.T + b2).tolist()
        truth.append(sum(row.index(max(row)) == label for row, label in zip(rows, y.tolist(), strict=True)) / N)
    assert len(set(truth)) > 1
    found = slices.line(objective, theta, direction, [0.0, 1.0, 2.0], accuracy=True)
    np.testing.assert_allclose(found.accuracy.values, truth, rtol=1e-12)


def by_row(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, y.reshape(-1))


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_model_that_gives_a_row_a_token_is_sliced(batch_size):
    x, y = tokens(7)
    objective = Objective(Tagger(7, rows=True), x, y, by_row, batch_size=batch_size)
    theta = objective.theta
    direction = torch.randn(len(theta), generator=torch.Generator().manual_seed(3), dtype=theta.dtype)
    truth = [objective.loss(theta + c * direction) for c in (0.0, 0.5, 1.0)]
    values = slices.line(objective, theta, direction, [0.0, 0.5, 1.0]).values
    np.testing.assert_allclose(values, truth, rtol=1e-12)
    if batch_size is None:
        plane = slices.plane(objective, theta, direction, direction.flip(0), [0.0, 1.0], [0.0, 1.0]).values
        point = theta + direction + direction.flip(0)
        assert plane[1, 1] == pytest.approx(objective.loss(point), rel=1e-12)


def test_rows_of_tokens_and_statistics_of_all_samples():
    x, y = tokens(7)
    whole = Objective(Tagger(7, rows=True, norm=True), x, y, by_row)
    theta = whole.theta
    line = slices.line(whole, theta, torch.ones_like(theta), [0.0, 0.1], batchnorm="re-estimated").values
    np.testing.assert_allclose(line[0], whole.loss(theta), rtol=1e-12)
    parts = Objective(Tagger(7, rows=True, norm=True), x, y, by_row, batch_size=7)
    with pytest.raises(ValueError, match=r"gives 120 rows of outputs for 24 samples.*batch_size=None"):
        slices.line(parts, theta, torch.ones_like(theta), [0.0, 0.1], batchnorm="re-estimated")
