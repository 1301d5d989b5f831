"""Tensors and plain data in a file that is verified before anything in it is believed.

The file is what `torch.save` writes, with a checksum in the comment of its zip archive: torch.load opens it too.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

MAGIC = b"agent-gym sha256 "
TRAILER = len(MAGIC) + hashlib.sha256().digest_size  # bytes of the comment
ARCHIVE_END = 22  # bytes of the record that ends a zip archive; its last two give the comment's length
CHUNK = 2**20
MAX_PICKLE, MAX_PLAIN = 2**22, 100_000  # bytes and values beside tensors: Python objects take far more than their bytes
ITEM_SIZES = {  # bytes, by the name that a storage has in the file
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage"), 8),
}
DTYPES = {
    *(torch.uint8, torch.int8, torch.bool, torch.int16, torch.float16, torch.bfloat16),
    *(torch.int32, torch.float32, torch.int64, torch.float64),
}
OPCODES = {  # all that torch.save writes for tensors and plain data; none of them can declare a size
    *("PROTO", "STOP", "MARK", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD"),
    *("BINPERSID", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
}


class DamagedFile(ValueError):
    """A file that is cut off, altered, of another program, or that declares more than it holds."""


def write(path: Path, tree: dict) -> None:
    """Write `tree` (dicts, lists, tuples, numbers, strings, None and tensors) to the disk at `path`.

    Raises OSError, and TypeError for what `read` would refuse.
    """
    if sum(1 for _ in _checked(tree, "")) > MAX_PLAIN:
        raise TypeError(f"over {MAX_PLAIN:,} values: put numbers into tensors")
    with open(path, "wb") as file:
        sink = _Sink(file)
        try:
            torch.save(_compact(tree), sink)
        except RuntimeError as error:  # what torch makes of an error in `sink`
            raise sink.error or error from None
        file.seek(-2, os.SEEK_END)
        file.write(TRAILER.to_bytes(2, "little") + MAGIC + sink.sha256.digest())
        file.flush()
        os.fsync(file.fileno())


def _compact(tree: Any) -> Any:
    """The same tree with copies of tensors that are a part of something larger: torch.save writes all of that."""
    if isinstance(tree, Tensor):
        return tree.clone() if tree.untyped_storage().nbytes() > tree.nbytes else tree
    if isinstance(tree, dict):
        return {name: _compact(part) for name, part in tree.items()}
    return type(tree)(map(_compact, tree)) if type(tree) in (list, tuple) else tree


def read(path: Path, device: torch.device | str = "cpu") -> dict:
    """What `write` wrote. Takes no more memory than the file has bytes and runs no code, whoever wrote it.

    Raises OSError and DamagedFile.
    """
    with open(path, "rb") as file:
        _verify(file)
        try:
            _inspect(file)
            file.seek(0)
            tree = torch.load(file, map_location=device, weights_only=True)
        except (OSError, DamagedFile):
            raise
        except Exception as error:  # whatever a foreign file leads to
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise DamagedFile(f"it does not hold tensors and plain data: {reason}") from error
    if not isinstance(tree, dict):
        raise DamagedFile("it holds no dict")
    return tree


def verify(path: Path) -> None:
    """Read the file through and compare its checksum. Raises OSError and DamagedFile."""
    with open(path, "rb") as file:
        _verify(file)


class _Sink:
    """Passes on what is written, and keeps its checksum and the first error."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        """Called by torch at the end; `write` above flushes."""


def _checked(tree: Any, name: str) -> Iterator[None]:
    """One item for each value in `tree`. Raises TypeError that names what cannot be read back."""
    if isinstance(tree, Tensor):
        # A view may repeat numbers; more than its storage holds would be refused.
        whole = tree.numel() * tree.element_size() <= tree.untyped_storage().nbytes()
        if type(tree) is not Tensor or tree.requires_grad or tree.dtype not in DTYPES or not whole:
            raise TypeError(f"{name}: a {tree.dtype} {type(tree).__name__} that no checkpoint can hold as it is")
    elif type(tree) in (dict, OrderedDict):
        for key, value in tree.items():
            yield from _checked(key, f"{name} key")
            yield from _checked(value, f"{name}.{key}")
    elif type(tree) in (list, tuple):
        for index, value in enumerate(tree):
            yield from _checked(value, f"{name}.{index}")
    elif type(tree) not in (bool, int, float, str, type(None)):
        raise TypeError(f"{name}: a {type(tree).__name__} is neither a tensor nor plain data")
    yield


def _verify(file: BinaryIO) -> None:
    """The checksum of an open file. Raises DamagedFile."""
    size = file.seek(0, os.SEEK_END)
    left = size - TRAILER - 2
    if left < ARCHIVE_END - 2:
        raise DamagedFile("it is cut off, or of another program")
    file.seek(left + 2 - ARCHIVE_END)
    end = file.read(ARCHIVE_END + TRAILER)
    comment = TRAILER.to_bytes(2, "little") + MAGIC
    if not end.startswith(b"PK\x05\x06") or end[ARCHIVE_END - 2 : -hashlib.sha256().digest_size] != comment:
        raise DamagedFile("it carries no checksum: it is cut off, or of another program")
    file.seek(0)
    sha256 = hashlib.sha256()
    while left:
        data = file.read(min(CHUNK, left))
        if not data:
            raise DamagedFile("it became shorter while it was read")
        sha256.update(data)
        left -= len(data)
    sha256.update(b"\0\0")  # the comment's length before there was one
    if sha256.digest() != end[-sha256.digest_size :]:
        raise DamagedFile("its checksum does not fit: it is damaged")


def _inspect(file: BinaryIO) -> None:
    """Whether every tensor lies within the file. A stranger's checksum may be right. Raises DamagedFile and others."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        folder = next(iter(entries)).partition("/")[0]
        if (
            len(entries) < len(archive.infolist())
            or any(not name.startswith(f"{folder}/") for name in entries)
            or any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries.values())
            or any(e.header_offset + e.file_size > size for e in entries.values())
            or sum(e.file_size for e in entries.values()) > size
        ):
            raise DamagedFile("its archive declares what it does not hold")
        if entries[f"{folder}/data.pkl"].file_size > MAX_PICKLE:
            raise DamagedFile(f"it holds over {MAX_PICKLE:,} bytes beside tensors")
        data = archive.read(f"{folder}/data.pkl")
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in OPCODES or (opcode.name == "LONG_BINPUT" and argument > len(data)):
            raise DamagedFile(f"its pickle holds the instruction {opcode.name}")
    storages = {name.removeprefix(f"{folder}/data/"): entry.file_size for name, entry in entries.items()}
    _Inspector(data, storages).load()


class _Inspector(pickle.Unpickler):
    """Goes through a pickle with stand-ins for tensors: nothing is made, and what does not fit the file is found."""

    def __init__(self, data: bytes, storages: dict[str, int]) -> None:
        super().__init__(io.BytesIO(data))
        self.storages = storages  # bytes by key

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in ITEM_SIZES:
            return ITEM_SIZES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Placed()
        raise DamagedFile(f"it asks for {module}.{name}, which is neither a tensor nor plain data")

    def persistent_load(self, reference: Any) -> int:
        """The number of elements of a storage."""
        kind, item_size, key, _, numel = reference
        if kind != "storage" or type(numel) is not int or self.storages[key] != numel * item_size:
            raise DamagedFile("it declares a tensor that it does not hold")
        return numel


class _Placed:
    """Takes the place of the function that makes a tensor."""

    __slots__ = ()

    def __call__(self, numel: int, offset: int, size: tuple, stride: tuple, requires_grad: bool, hooks: dict) -> None:
        numbers = (numel, offset, *size, *stride)
        good = all(type(n) is int and 0 <= n < 2**62 for n in numbers) and len(size) == len(stride)
        if good and math.prod(size):
            last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
            good = last < numel and math.prod(size) <= numel
        if not good or requires_grad is not False or hooks != OrderedDict():
            raise DamagedFile("it declares a tensor beyond its numbers")
