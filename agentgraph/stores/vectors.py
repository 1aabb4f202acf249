"""FAISS's exact inner products over the rows that are asked for, and the codec of stored vectors.

Only flat, exact search: an approximate index filtered afterwards loses answers (recall .27 in a 1 % window).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import faiss
import numpy as np
import numpy.typing as npt

from agentgraph.errors import InvalidInputError, StoreError
from agentgraph.stores.postings import Rows

__all__ = ["Matrix", "inner_products", "is_sound", "pack", "taken", "unit", "unpack"]

Vector = npt.NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)
_DENSE_ENOUGH: Final = 0.5  # above this share of a span, reading all of it beats picking rows

_SQUARE_ERROR: Final = 0.02  # fp16 rounds by far less; what is further from length 1 was damaged on disk


def unit(vector: Sequence[float] | npt.NDArray[np.float32]) -> Vector:
    """Return `vector` as float32 of length 1; a zero vector stays zero.

    Raises:
        InvalidInputError: Not a flat list of finite numbers.
    """
    array = np.ascontiguousarray(vector, dtype=np.float32)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise InvalidInputError("an embedding must be a non-empty list of finite numbers", param="query_vector")
    length = float(np.linalg.norm(array))
    return array if length == 0.0 else array / np.float32(length)


def pack(vectors: Sequence[Sequence[float]]) -> list[bytes]:
    """Return unit vectors as stored: little-endian fp16, half the disk at a recall of .999.

    Raises:
        StoreError: The vectors differ in size, are empty, or hold what is no finite number.
    """
    try:
        matrix = np.asarray(vectors, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise StoreError("the embedding model returned vectors of several sizes", code="bad_embedding") from error
    if matrix.ndim != 2 or matrix.shape[1] == 0 or not np.isfinite(matrix).all():
        raise StoreError("the embedding model returned no usable vectors", code="bad_embedding")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    packed = (matrix / np.where(lengths == 0.0, np.float32(1.0), lengths)).astype("<f2")
    return [row.tobytes() for row in packed]


def unpack(blobs: list[bytes]) -> npt.NDArray[np.float32]:
    """Return stored vectors of one size as a matrix `(n, dims)` float32."""
    return np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), -1).astype(np.float32)


def is_sound(blob: object, size_bytes: int | None) -> bool:
    """Say whether `blob` is a stored vector of this size as `pack` makes them, undamaged as far as can be told."""
    return isinstance(blob, bytes) and len(blob) == size_bytes and bool(_sound(unpack([blob]))[0])


def _sound(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Say of each row whether it has length 1 or 0; one with a NaN has neither."""
    squares = np.einsum("ij,ij->i", matrix, matrix)
    sound: npt.NDArray[np.bool_] = (squares == 0) | (np.abs(squares - 1) < _SQUARE_ERROR)
    return sound


def taken(array: npt.NDArray[Scalar], rows: Rows) -> npt.NDArray[Scalar]:
    """Return `array[rows]` for ascending rows, without copying where they are a span."""
    first, last = int(rows[0]), int(rows[-1])
    return array[first : last + 1] if rows.size == last - first + 1 else array[rows]


def inner_products(matrix: npt.NDArray[np.float32], query: Vector, rows: Rows) -> npt.NDArray[np.float32]:
    """Return the inner product of `query` with each of `rows` (ascending) of `matrix`."""
    if rows.size == 0:
        return np.empty(0, dtype=np.float32)
    first, span = int(rows[0]), int(rows[-1]) - int(rows[0]) + 1
    dims = matrix.shape[1]
    if rows.size >= span * _DENSE_ENOUGH:
        products = np.empty(span, dtype=np.float32)
        part = matrix[first : first + span]
        faiss.fvec_inner_products_ny(faiss.swig_ptr(products), faiss.swig_ptr(query), faiss.swig_ptr(part), dims, span)
        return products if rows.size == span else products[rows - first]
    products = np.empty(rows.size, dtype=np.float32)
    wanted = rows.astype(np.int64, copy=False)
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(products),
        faiss.swig_ptr(query),
        faiss.swig_ptr(matrix),
        faiss.swig_ptr(wanted),
        dims,
        1,
        rows.size,
    )
    return products


class Matrix:
    """Rows of vectors that grow at the end; rows without a vector are zero."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), dtype=np.float32)
        self._size = 0
        self.has_vector = np.empty(0, dtype=np.bool_)
        self.is_full = True

    @property
    def dims(self) -> int:
        """The vectors' size; 0 while there is none."""
        return self._rows.shape[1]

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """All rows, `(n, dims)`; a view."""
        return self._rows[: self._size]

    def add(self, blobs: Sequence[bytes | None]) -> None:
        """Append one row for each stored vector, all of one size; `None`, or a damaged one, is a row without."""
        end = self._size + len(blobs)
        present = np.fromiter((blob is not None for blob in blobs), dtype=np.bool_, count=len(blobs))
        vectors = np.empty((0, 0), dtype=np.float32)
        if present.any():
            vectors = unpack([blob for blob in blobs if blob is not None])
            sound = _sound(vectors)
            if not sound.all():
                vectors = vectors[sound]
                present[present] = sound
        self.has_vector = np.concatenate([self.has_vector, present])
        self.is_full = self.is_full and bool(present.all())
        dims = self.dims or (vectors.shape[1] if len(vectors) else 0)
        if dims and (end > len(self._rows) or not self.dims):
            # Zeros nobody has written cost no memory, only addresses.
            roomy = np.zeros((end * 2, dims), dtype=np.float32)
            if self.dims:
                roomy[: self._size] = self._rows[: self._size]
            self._rows = roomy
        if len(vectors):
            added = self._rows[self._size : end]
            added[slice(None) if len(vectors) == len(blobs) else present] = vectors
        self._size = end
