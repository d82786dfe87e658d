"""CIFAR-10's Python version. Its files are pickles; they are read here without ever running one.

A pickle is a list of instructions for a small stack machine, two of which call whatever the file
names. This reader knows just the instructions that the published files are written with, and in
place of calling numpy it writes down what numpy would have been asked for. Anything else is
refused. The published MD5 is checked before, but nobody's safety should hang on MD5.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unlearning.core.errors import UserError
from unlearning.data.sources.base import md5, one_line

FOLDER = "cifar-10-batches-py"
PUBLISHED: dict[str, str] = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 of each file, training first, as torchvision lists them (torchvision/datasets/cifar.py)."""

Bytes = npt.NDArray[np.uint8]


class NotABatchError(Exception):
    """The instructions do not build a batch; the message says why in a few words."""


class Name(Enum):
    """What a file may mention, each as `module name`. Mentioning is all that ever happens."""

    RECONSTRUCT = "numpy.core.multiarray _reconstruct"
    NDARRAY = "numpy ndarray"
    DTYPE = "numpy dtype"


@dataclass
class UInt8:
    """Stands for numpy.dtype("u1"), once with its state set."""

    complete: bool = False


@dataclass
class Array:
    """Stands for an array under construction."""

    values: Bytes | None = None


class Machine:
    """The stack, its marks and the memo of the pickle machine, all of plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def top(self, count: int) -> list[Any]:
        """Take `count` values from the stack, in the order they were put there."""
        if count > len(self.stack) - (self.marks[-1] if self.marks else 0):
            raise NotABatchError("it takes more from the stack than there is")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def to_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        if not self.marks:
            raise NotABatchError("a mark is missing")
        taken = self.stack[self.marks[-1] :]
        del self.stack[self.marks.pop() :]
        return taken

    def last(self, kind: type) -> Any:
        """The value on top, which must be of this kind."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise NotABatchError(f"it changes something that is no {kind.__name__}")
        return self.stack[-1]


def _mention(machine: Machine, argument: str) -> None:
    if argument not in [name.value for name in Name]:
        raise NotABatchError(f"it calls for {one_line(ValueError(argument), 60)!r}")
    machine.push(Name(argument))


def _call(machine: Machine, _: None) -> None:
    """REDUCE: numpy's two constructors, with the arguments they are always given."""
    function, arguments = machine.top(2)
    if function is Name.RECONSTRUCT and arguments == (Name.NDARRAY, (0,), b"b"):
        machine.push(Array())
    elif function is Name.DTYPE and arguments == (b"u1", 0, 1):
        machine.push(UInt8())
    else:
        raise NotABatchError("it calls something other than numpy's array of bytes")


def _build(machine: Machine, _: None) -> None:
    """BUILD: set the state of what was constructed."""
    (state,) = machine.top(1)
    if not machine.stack or type(state) is not tuple:
        raise NotABatchError("it sets the state of nothing")
    match machine.stack[-1]:
        case UInt8() as kind if state == (3, b"|", None, None, None, -1, -1, 0):
            kind.complete = True
        case Array() as array if array.values is None:
            array.values = _values(state)
        case _:
            raise NotABatchError("it sets a state that no array of bytes has")


def _values(state: tuple[Any, ...]) -> Bytes:
    match state:
        case (1, (int(rows), int(columns)), UInt8(complete=True), bool(by_column), bytes(content)) if (
            rows > 0 and columns > 0 and rows * columns == len(content)
        ):
            values = np.frombuffer(content, np.uint8)
            return values.reshape((int(rows), int(columns)), order="F" if by_column else "C")
    raise NotABatchError("its array is not a table of bytes")


def _remember(machine: Machine, place: int) -> None:
    if not machine.stack:
        raise NotABatchError("it remembers nothing")
    machine.memo[place] = machine.stack[-1]


def _recall(machine: Machine, place: int) -> None:
    if place not in machine.memo:
        raise NotABatchError("it recalls what it never remembered")
    machine.push(machine.memo[place])


def _extend(machine: Machine, values: list[Any]) -> None:
    machine.last(list).extend(values)


def _update(machine: Machine, values: list[Any]) -> None:
    target: dict[bytes, Any] = machine.last(dict)
    if len(values) % 2 or not all(type(key) is bytes for key in values[::2]):
        raise NotABatchError("its keys are not text")
    target.update(zip(values[::2], values[1::2], strict=True))


def _mark(machine: Machine, _: None) -> None:
    machine.marks.append(len(machine.stack))


def _literal(machine: Machine, value: object) -> None:
    machine.push(value)


def _text(machine: Machine, value: str) -> None:
    machine.push(value.encode("latin-1"))  # as pickletools decoded the file's bytes


Instruction = Callable[[Machine, Any], None]
INSTRUCTIONS: Mapping[str, Instruction] = {
    "PROTO": lambda machine, version: None,
    "STOP": lambda machine, _: None,
    "MARK": _mark,
    **dict.fromkeys(("BININT", "BININT1", "BININT2"), _literal),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _text),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.top(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.top(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.top(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "APPEND": lambda machine, _: _extend(machine, machine.top(1)),
    "APPENDS": lambda machine, _: _extend(machine, machine.to_mark()),
    "SETITEM": lambda machine, _: _update(machine, machine.top(2)),
    "SETITEMS": lambda machine, _: _update(machine, machine.to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _recall),
    "GLOBAL": _mention,
    "REDUCE": _call,
    "BUILD": _build,
}
"""What each instruction does to the machine. None of them looks anything up or calls anything."""


def interpret(data: bytes) -> Any:
    """The value that the instructions describe, of dicts, lists, tuples, bytes, numbers and `Array`.

    Raises:
        NotABatchError: an instruction or a name that no batch file has, or not a pickle at all.
    """
    machine = Machine()
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name not in INSTRUCTIONS:
                raise NotABatchError(f"it has the instruction {code.name}, which no batch has")
            INSTRUCTIONS[code.name](machine, argument)
    except ValueError as error:
        raise NotABatchError(f"it is cut off or no pickle: {one_line(error, 60)}") from None
    if len(machine.stack) != 1 or machine.marks:
        raise NotABatchError("it does not end with one value")
    return machine.stack[0]


def read_batch(path: Path, digest: str, records: int, classes: int) -> tuple[Bytes, Bytes]:
    """The (N, 3072) pixels, red, green and blue plane in turn, and the (N,) labels of one file.

    Args:
        path: the file.
        digest: its published MD5.
        records: how many images it must hold.
        classes: one more than the largest label.

    Raises:
        UserError: missing, not the published file, or not a batch.
    """
    again = f"unpack cifar-10-python.tar.gz again, or remove {path.parent} to use the binary version"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {again}") from None
    if md5(data) != digest:
        raise UserError(f"{path} is not the published file (MD5 {digest}): {again}")
    try:
        return _pixels_and_labels(interpret(data), records, classes)
    except NotABatchError as error:
        raise UserError(f"{path} is not a CIFAR-10 batch ({error}), and nothing in it was run: {again}") from None


def _pixels_and_labels(batch: Any, records: int, classes: int) -> tuple[Bytes, Bytes]:
    match batch:
        case {b"data": Array(values=pixels), b"labels": list(labels)} if (
            pixels is not None and pixels.shape == (records, 3 * 32 * 32) and len(labels) == records
        ):
            if not all(type(label) is int and 0 <= label < classes for label in labels):
                raise NotABatchError(f"it holds a label outside 0 to {classes - 1}")
            return pixels, np.array(labels, np.uint8)
    raise NotABatchError(f"it does not hold {records} images of 32 × 32 pixels and their labels")
