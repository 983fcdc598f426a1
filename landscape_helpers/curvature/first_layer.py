r"""A wide linear first layer in the few directions in which the data vary most.

The first layer's part of a product is :math:`D^\top X`, with X (n, d) the data and D (n, h) the adjoint's tangent at
the layer's output. In an orthonormal basis Q (d, r) of most of the data's range, :math:`V=V_QQ^\top` needs only the
coordinates XQ: a product of the restricted Hessian :math:`Q^\top HQ` costs r/d of a full one. What the restriction
leaves out is the caller's to add and to bound (:mod:`~landscape_helpers.curvature.subspace_pairs`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from .layer_rules import Kept, Pieces
from .linearised import Linearised, Point
from .range_finder import RangeFinder
from .weighted_rules import Linear, add_to

# Share of the data's sum of squares that may lie off Q. With a tenth of it, eigenvectors of image networks lie off Q by
# a few per cent, and a correction of first order brings that below 1e-3.
OFF_RANGE = 0.1
SMALLEST_RANK = 128
# A product in the subspace should cost at most a quarter of a full one.
WIDEST = 0.25
# Rows that the basis is found from: directions shared by so many images show in a thousand of them.
ROWS = 1000
# Columns of the sketch that bounds what is not computed, and the factor that makes an estimate a bound: with 64 columns
# the squared estimate falls short by a factor 4 with a probability of P(chi2_64 < 16) < 1e-8 in the worst case, that of
# a single direction, and much less for a sum of many.
SKETCH = 64
SKETCH_FACTOR = 2.0


@dataclass(frozen=True)
class Image:
    r"""Products with vectors that lie outside Q, as far as they are needed.

    Attributes:
        inside: (k, p) in the subspace's coordinates, exact.
        pairing: (k, k) inner products of the vectors with their products, exact.
        sketch: (k, h * SKETCH) of the rest, which lies outside Q: its norm, over the root of SKETCH, estimates the
            norm of the rest of any linear combination.
    """

    inside: torch.Tensor
    pairing: torch.Tensor
    sketch: torch.Tensor

    def outside(self, combination: torch.Tensor) -> torch.Tensor:
        """Bounds (m,) on what lies outside Q for the combinations (m, k) of the products."""
        return SKETCH_FACTOR * (combination @ self.sketch).norm(dim=1) / SKETCH**0.5


class FirstLayerSubspace:
    """The objective's Hessian with the first layer's weight restricted to Q; made by :meth:`of`.

    Rows of p numbers hold theta with the first weight (h, d) replaced by its coordinates (h, r).
    """

    def __init__(self, products: Linearised, basis: torch.Tensor, coordinates: list[torch.Tensor], seed: int) -> None:
        self.products = products
        self.objective = products.objective
        rule = products.rules[products.first]
        assert isinstance(rule, Linear)
        self.weight, self.bias = rule.module.weight, rule.module.bias
        self.width, self.rank = len(self.weight), basis.shape[1]
        self.basis = basis
        self.parameters = self.objective.parameters - self.weight.numel() + self.width * self.rank
        generator = torch.Generator().manual_seed(seed)
        omega = torch.randn(len(basis), SKETCH, generator=generator, dtype=basis.dtype).to(basis.device)
        self._omega = omega - basis @ (basis.T @ omega)
        self._coordinates = coordinates

    @classmethod
    def of(cls, products: object, seed: int = 0) -> FirstLayerSubspace | None:
        """The subspace, or None where the model has no wide linear first layer or the data no preferred directions."""
        if not isinstance(products, Linearised) or products.first == len(products.rules):
            return None
        rule = products.rules[products.first]
        weights = [id(p) for r in products.rules for p in r.module.parameters()]
        if not isinstance(rule, Linear) or weights.count(id(rule.module.weight)) != 1:
            return None
        if not rule.module.weight.requires_grad or WIDEST * rule.module.in_features < SMALLEST_RANK:
            return None
        rows = []
        total = 0.0
        for point in products.points():
            data = point.kept[products.first].tensors["a"]
            if data.dim() != 2:
                return None
            rows.append(data)
            total += float(data.norm()) ** 2
        if not products.complete or sum(map(len, rows)) < 2 * SMALLEST_RANK:
            return None
        found = _basis(rows, total, seed)
        return None if found is None else cls(products, *found, seed)

    def product(self, v: torch.Tensor) -> torch.Tensor:
        """The restricted Hessian times v (p,)."""
        out = torch.zeros_like(v)
        directions, sums = self._pieces(v), self._pieces(out)
        with torch.no_grad():
            for point, coordinates in self._points():
                kept = list(point.kept)
                kept[self.products.first] = Kept({**kept[self.products.first].tensors, "a": coordinates})
                self.products.add_product(replace(point, kept=kept), directions, sums)
        return out

    def coordinates(self, row: torch.Tensor) -> torch.Tensor:
        """The part (p,) of a vector (P,) that lies in the subspace."""
        result = row.new_empty(self.parameters)
        whole = dict(zip(map(id, self.objective.weights), self.objective.views(row), strict=True))
        for key, piece in self._pieces(result).items():
            piece.copy_(whole[key] @ self.basis if key == id(self.weight) else whole[key])
        return result

    def lifted(self, row: torch.Tensor, outside: torch.Tensor | None = None) -> torch.Tensor:
        """The vector (P,) with the coordinates ``row`` (p,), plus ``outside`` (h, d) in the first weight."""
        result = row.new_empty(self.objective.parameters)
        pieces = self._pieces(row)
        for weight, view in zip(self.objective.weights, self.objective.views(result), strict=True):
            piece = pieces[id(weight)]
            if weight is not self.weight:
                view.copy_(piece)
            elif outside is None:
                torch.mm(piece, self.basis.T, out=view)
            else:
                torch.addmm(outside, piece, self.basis.T, out=view)
        return result

    def product_outside(self, v: torch.Tensor) -> torch.Tensor:
        """The Hessian's block off Q: v (h d,) of the first weight is projected, multiplied and projected again."""
        v = self._off(v.view(self.width, -1))
        result = torch.zeros_like(v)
        zero = self._pieces(v.new_zeros(self.parameters))
        ignored = self._pieces(v.new_zeros(self.parameters))
        with torch.no_grad():
            for point in self.products.points():
                data = self._data(point)
                result.addmm_(self._adjoint(point, data @ v.T, zero, ignored).T, data)
        return self._off(result).flatten()

    def products_inside(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Full products with the vectors of the subspace ``rows`` (k, p), exact.

        Returns:
            The products in the subspace (k, p), and the rest (k, h, d): it lies outside Q in the first weight.
        """
        k, h = len(rows), self.width
        inside = torch.zeros_like(rows)
        first = rows.new_zeros(k * h, self.weight.shape[1])
        with torch.no_grad():
            for point, coordinates in self._points():
                adjoints = rows.new_empty(len(coordinates), k, h)
                for j, (v, out) in enumerate(zip(map(self._pieces, rows), map(self._pieces, inside), strict=True)):
                    adjoints[:, j] = self._adjoint(point, self._tangent(v, coordinates), v, out)
                first.addmm_(adjoints.flatten(1).T, self._data(point))
            coordinates = first @ self.basis
            for out, part in zip(map(self._pieces, inside), coordinates.view(k, h, -1), strict=True):
                out[id(self.weight)].copy_(part)
            first.addmm_(coordinates, self.basis.T, alpha=-1)
        return inside, first.view(k, h, -1)

    def products_outside(self, vectors: torch.Tensor) -> Image:
        """Products with ``vectors`` (k, h, d) of the first weight that lie outside Q."""
        k, h = len(vectors), self.width
        inside = vectors.new_zeros(k, self.parameters)
        zero = self._pieces(vectors.new_zeros(self.parameters))
        pairing = torch.zeros(k, k, dtype=torch.float64)
        both = vectors.new_zeros(k * h, self.rank + SKETCH)
        with torch.no_grad():
            for point, coordinates in self._points():
                data = self._data(point)
                tangents = _times_transposed(data, vectors.view(k * h, -1)).view(len(data), k, h)
                adjoints = torch.empty_like(tangents)
                for j, out in enumerate(map(self._pieces, inside)):
                    adjoints[:, j] = self._adjoint(point, tangents[:, j], zero, out)
                pairing += torch.einsum("nih,njh->ij", tangents, adjoints).double().cpu()
                flat = adjoints.flatten(1).T
                both.addmm_(flat, torch.cat([coordinates, data @ self._omega], 1))
            first, sketch = both.view(k, h, -1).split([self.rank, SKETCH], 2)
            for out, part in zip(map(self._pieces, inside), first, strict=True):
                out[id(self.weight)].copy_(part)
        return Image(inside, (pairing + pairing.T) / 2, sketch.flatten(1))

    def _off(self, rows: torch.Tensor) -> torch.Tensor:
        return rows - (rows @ self.basis) @ self.basis.T

    def _points(self) -> zip[tuple[Point, torch.Tensor]]:
        return zip(self.products.points(), self._coordinates, strict=True)

    def _data(self, point: Point) -> torch.Tensor:
        return point.kept[self.products.first].tensors["a"]

    def _tangent(self, v: Pieces, coordinates: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else v.get(id(self.bias))
        return F.linear(coordinates, v[id(self.weight)], bias)

    def _adjoint(self, point: Point, t: torch.Tensor, v: Pieces, out: Pieces) -> torch.Tensor:
        """The adjoint's tangent at the first layer's output; adds every other parameter's part to ``out``."""
        adjoint = self.products.behind_first(point, t, v, out)
        add_to(out, self.bias, adjoint.sum(0))
        return adjoint

    def _pieces(self, row: torch.Tensor) -> Pieces:
        shapes = [(self.width, self.rank) if w is self.weight else tuple(w.shape) for w in self.objective.weights]
        sizes = [self.width * self.rank if w is self.weight else w.numel() for w in self.objective.weights]
        parts = zip(self.objective.weights, row.split(sizes), shapes, strict=True)
        return {id(w): piece.view(shape) for w, piece, shape in parts}


def _times_transposed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b.T`` for large matrices.

    Through oneDNN where there is one: as fast as MKL on Intel's processors, 10 % faster on AMD's, copies included.
    """
    if a.device.type == "cpu" and a.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return F.linear(a.to_mkldnn(), b.to_mkldnn()).to_dense()
    return a @ b.T


def _basis(rows: list[torch.Tensor], total: float, seed: int) -> tuple[torch.Tensor, list[torch.Tensor]] | None:
    """Orthonormal Q (d, r) with all but a tenth of the rows' sum of squares ``total``, and the rows' coordinates in it.

    r is as small as doubling finds it, and Q what the range finder makes of some of the rows.
    """
    n, d = sum(map(len, rows)), rows[0].shape[1]
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(n, generator=generator)[:ROWS].sort().values
    bounds = torch.tensor([0, *map(len, rows)]).cumsum(0)
    some = torch.cat([
        part[(chosen[(chosen >= low) & (chosen < high)] - low).to(part.device)]
        for part, low, high in zip(rows, bounds[:-1], bounds[1:], strict=True)
    ])  # fmt: skip
    finder = RangeFinder(some, generator)
    rank = SMALLEST_RANK
    while rank <= min(WIDEST * d, len(some)):
        basis = finder.basis(rank)
        coordinates = [part @ basis for part in rows]
        if total - sum(float(part.norm()) ** 2 for part in coordinates) <= OFF_RANGE * total:
            return basis, coordinates
        rank *= 2
    return None
