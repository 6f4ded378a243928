"""Where the memory of a worker lies, and of the process that its Python jobs are forked from.

A fork and an exit take time by every page and every mapping that is there; a huge page counts as one. So the
heap, the interpreter and the libraries lie in huge pages, in few mappings: programs with their data, so that
they, too, can be written to. Where the system has not what this takes (glibc, Linux 6.1, and x86-64 for
programs), all stays where it was. None of this bounds what a job can reach: see `sandbox`.
"""

from __future__ import annotations

import ctypes
import os
from itertools import pairwise

from linewise_training.execution.in_turn import ROOM, calls_in_turn

TYPE_CHECKING = False  # nothing is to be loaded before `use_huge_pages` that need not be
if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = 1 << 12
_HUGE = 1 << 21
_ARENA = 1 << 20  # bytes that Python takes at once for small objects, since 3.10
_HEAP = 6 << 20  # bytes that a worker comes to need
_MOST_MOVED = 1 << 26  # bytes: a program and its libraries take a quarter of that
_MOST_MAPPED = 1 << 25  # glibc's own bound for the size above which it maps a block by itself

_READ, _WRITE, _EXECUTE = 1, 2, 4
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x100000
_MADV_DONTFORK, _MADV_HUGEPAGE, _MADV_COLLAPSE = 10, 14, 25
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_MS_ASYNC = 1
_CODE_FOLLOWS = ("x86_64",)  # processors that run what was written just before; others must be told
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

# Two neighbours' access: which of them gets more, and what. Code under test could change it just so.
_JOINED = {
    ("r--p", "r-xp"): (0, _READ | _EXECUTE),
    ("r-xp", "r--p"): (1, _READ | _EXECUTE),
    ("r--p", "rw-p"): (0, _READ | _WRITE),
}

Mapping = tuple[int, int, str, str]
"""Where it starts and ends, its access and its name."""
Ranges = list[tuple[int, int]]
"""Addresses and bytes there."""

_size, _pointer = ctypes.c_size_t, ctypes.c_void_p
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = _pointer, _size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
_libc.mmap.restype = _pointer
_libc.munmap.argtypes = _pointer, _size
_libc.msync.argtypes = _pointer, _size, ctypes.c_int
_libc.madvise.argtypes = _pointer, _size, ctypes.c_int
_libc.mprotect.argtypes = _pointer, _size, ctypes.c_int
_libc.mincore.argtypes = _pointer, _size, _pointer
_libc.mremap.argtypes = _pointer, _size, _size, ctypes.c_int, _pointer
_libc.mremap.restype = _pointer
_libc.sbrk.argtypes = (ctypes.c_long,)
_libc.sbrk.restype = _pointer
_libc.process_vm_readv.argtypes = (
    ctypes.c_int,
    _pointer,
    ctypes.c_ulong,
    _pointer,
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.malloc.argtypes = (_size,)
_libc.malloc.restype = _pointer
_libc.free.argtypes = (_pointer,)


class _Piece(ctypes.Structure):
    _fields_ = (("start", _pointer), ("size", _size))


class _Arenas(ctypes.Structure):
    """PyObjectArenaAllocator of Python's C API: where the memory for small objects comes from."""

    _fields_ = (("context", _pointer), ("allocate", _pointer), ("free", _pointer))


_PYTHONS_ARENAS = _Arenas()
ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(_PYTHONS_ARENAS))


class Number:
    """A number that the kernel writes for a process and its parent reads."""

    def __init__(self) -> None:
        """Map it, for the processes that are forked from now on to share.

        Raises:
            OSError: There is no memory.
        """
        at = map_apart(_PAGE, shared=True)
        self._number = ctypes.c_int.from_address(at)
        self.pointer = _pointer(at)

    def keep(self) -> None:
        """Let what is forked from this process not have it.

        Raises:
            OSError: The kernel refused.
        """
        if _libc.madvise(self.pointer, _PAGE, _MADV_DONTFORK):
            raise OSError(ctypes.get_errno(), "memory cannot be kept from children")

    @property
    def value(self) -> int:
        """The number."""
        return self._number.value

    @value.setter
    def value(self, value: int) -> None:
        self._number.value = value


def map_apart(size: int, *, shared: bool = False) -> int:
    """The address of memory that lies by itself; `shared` with the processes that are forked from now on.

    Raises:
        OSError: There is no memory.
    """
    at = _map(None, size, _MAP_SHARED if shared else _MAP_PRIVATE)
    if at is None:
        raise OSError(ctypes.get_errno(), "no memory to map")
    return at


def use_huge_pages() -> None:
    """Let what is allocated from now on lie together, in huge pages; before much is."""
    if not hasattr(_libc, "mallopt") or not hasattr(_libc, "memalign"):
        return
    for start, _, _, name in _mappings(_own_mappings()):
        if name == "[heap]":  # a huge page needs all of its addresses: those below the heap, too
            _map(_down(start), start - _down(start), _MAP_PRIVATE | _MAP_FIXED_NOREPLACE)
    top = int(_libc.sbrk(0))
    _libc.mallopt(_M_TRIM_THRESHOLD, _MOST_MAPPED)
    _libc.mallopt(_M_MMAP_THRESHOLD, _MOST_MAPPED)
    _libc.mallopt(_M_TOP_PAD, _up(top + _HEAP) - top)
    _libc.free(_libc.malloc(_HEAP))  # the heap grows once
    _libc.mallopt(_M_TOP_PAD, _ARENA >> 3)
    low, high = _up(top), _down(int(_libc.sbrk(0)))
    if low < high:
        _libc.madvise(low, high - low, _MADV_HUGEPAGE)
        # memalign(context, size) is of the type that is asked for; an arena is given back as ever.
        allocate = ctypes.cast(_libc.memalign, _pointer)
        _set_arenas(_Arenas(_ARENA, allocate, _PYTHONS_ARENAS.free))


def settle(mappings: str) -> Ranges:
    """Move what lies in small pages to huge ones where that can be.

    Not shared with the parent process then. For a process that has one thread.

    Args:
        mappings: The process's own `/proc/self/maps`.

    Returns:
        Where there are huge pages now, for `mend`.
    """
    _set_arenas(_PYTHONS_ARENAS)  # what jobs ask for is not to lie in a heap that cannot shrink
    found = _mappings(mappings)
    ranges: Ranges = []
    for start, end, access, name in found:
        if access == "rw-p" and name == "[heap]":
            ranges += _collapse(start, end)
    for low, high, inside in _blocks(found) if os.uname().machine in _CODE_FOLLOWS else ():
        used = sum(end - start for start, end, access, _ in inside if access[0] == "r")
        if high - low <= _MOST_MOVED and used > (high - low) // 2 and _replace(low, high, inside):
            ranges.append((low, high - low))
    return ranges


def mend(ranges: Ranges) -> None:
    """Make huge pages again of those that have become small ones.

    A page that other processes have let go of can still be in the kernel's hands for a moment. Who writes to
    a huge one then gets small ones in its place.
    """
    for start, size in ranges:
        _libc.madvise(start, size, _MADV_COLLAPSE)


def join_mappings() -> None:
    """Make fewer mappings of each library's; before a fork, after which the kernel keeps them apart."""
    for one, other in pairwise(_mappings(_own_mappings())):
        _join(one, other)


def _set_arenas(arenas: _Arenas) -> None:
    ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(arenas))


def _up(address: int) -> int:
    return -(-address // _HUGE) * _HUGE


def _down(address: int) -> int:
    return address // _HUGE * _HUGE


def _map(at: int | None, size: int, flags: int) -> int | None:
    """Map memory that can be read and written; none if that cannot be, there."""
    found = _libc.mmap(at, size, _READ | _WRITE, flags | _MAP_ANONYMOUS, -1, 0)
    return None if found in {None, _pointer(-1).value} else int(found)


def _own_mappings() -> str:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            return stream.read()
    except OSError:
        return ""


def _mappings(text: str) -> list[Mapping]:
    """Start, end, access and name of each, from a file `maps` of `/proc`."""
    found = []
    for line in text.splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        start, _, end = addresses.partition("-")
        found.append((int(start, 16), int(end, 16), access, name[0] if name else ""))
    return found


def _collapse(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Move pages that can be written to huge ones, where there are any; where that was done."""
    there = (ctypes.c_char * (_HUGE // _PAGE))()
    for at in range(_up(start), _down(end), _HUGE):
        if not _libc.mincore(at, _HUGE, there) and any(there.raw):
            first = at + there.raw.index(b"\1") * _PAGE
            ctypes.memmove(first, first, 1)  # shared with the parent process none would be moved
            if not _libc.madvise(at, _HUGE, _MADV_COLLAPSE):
                yield at, _HUGE


def _replace(low: int, high: int, mappings: list[Mapping]) -> bool:
    """Put a copy in huge pages in the place of all that is mapped between two addresses; whether it is."""
    size, at = high - low, low
    gaps = []
    for start, end, _, _ in [*mappings, (high, high, "", "")]:
        if start > at:  # taken, so that nothing new can lie there
            if _map(at, start - at, _MAP_PRIVATE | _MAP_FIXED_NOREPLACE) is None:
                break
            gaps.append((at, start - at))
        at = max(at, end)
    else:
        if (copy := _room(size)) is not None:
            if _move(mappings, copy, low, size):
                return True
            _libc.munmap(copy, size)
    for start, length in gaps:
        _libc.munmap(start, length)
    return False


def _room(size: int) -> int | None:
    """Huge pages that can be written to and executed; none where the system refuses."""
    found = _map(None, size + _HUGE, _MAP_PRIVATE)
    if found is None:
        return None
    room = _up(found)
    _libc.munmap(found, room - found)
    _libc.munmap(room + size, found + _HUGE - room)
    _libc.madvise(room, size, _MADV_HUGEPAGE)
    for at in range(room, room + size, _HUGE):
        ctypes.memset(at, 0, 1)
    # In small pages it would cost more than it saves.
    if _libc.madvise(room, size, _MADV_COLLAPSE) or _libc.mprotect(room, size, _READ | _WRITE | _EXECUTE):
        _libc.munmap(room, size)
        return None
    return room


def _move(mappings: list[Mapping], copy: int, low: int, size: int) -> bool:
    """Fill `copy` with what is mapped in the `size` bytes at `low` and put it there; whether it is there."""
    readable = [one for one in mappings if one[2][0] == "r"]
    reads = []
    for some in readable, [one for one in readable if one[2][1] == "w"]:
        bounds = [(max(start, low), min(end, low + size)) for start, end, _, _ in some]
        here = (_Piece * len(bounds))(*(_Piece(start - low + copy, end - start) for start, end in bounds))
        there = (_Piece * len(bounds))(*(_Piece(start, end - start) for start, end in bounds))
        if _libc.process_vm_readv(os.getpid(), here, len(here), there, len(there), 0) != sum(
            end - start for start, end in bounds
        ):
            return False
        reads.append((here, there))
    # What can be written to has been: it is read again, and from then on nothing may run but the move.
    here, there = reads[-1]
    read = os.getpid(), ctypes.addressof(here), len(here), ctypes.addressof(there), len(there), 0
    move = copy, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, low
    room = None
    try:
        room = map_apart(ROOM)  # not in what is moved, where the calls would write after it was read
        for call, arguments in calls_in_turn(room, (_libc.process_vm_readv, read), (_libc.mremap, move)):
            call(*arguments)
    except OSError:
        return False
    finally:
        if room is not None:
            _libc.munmap(room, ROOM)
    return bool(_libc.msync(copy, size, _MS_ASYNC))  # fails where nothing is any more


def _blocks(mappings: list[Mapping]) -> Iterator[tuple[int, int, list[Mapping]]]:
    """Runs of huge pages' addresses that can be taken; start, end, what is mapped."""
    taken: dict[int, list[Mapping]] = {}
    for one in mappings:
        for block in range(one[0] // _HUGE, -(-one[1] // _HUGE)):
            taken.setdefault(block, []).append(one)
    run: list[int] = []
    for block in [*sorted(taken), -1]:
        if run and (block != run[-1] + 1 or not _movable(taken[block])):
            found = list(dict.fromkeys(one for inside in run for one in taken[inside]))
            yield run[0] * _HUGE, (run[-1] + 1) * _HUGE, found
            run = []
        if block >= 0 and _movable(taken[block]):
            run.append(block)


def _movable(mappings: list[Mapping]) -> bool:
    """Whether all is the process's own, and nothing the kernel's as the stack is."""
    return all(access[3] == "p" and not name.startswith("[") for _, _, access, name in mappings)


def _join(one: Mapping, other: Mapping) -> None:
    """Make two mappings of a library one, where either can have the access of the other besides."""
    joined = _JOINED.get((one[2], other[2]))
    if joined and one[3] == other[3] and one[3].startswith("/") and one[1] == other[0]:
        which, access = joined
        start, end, _, _ = (one, other)[which]
        _libc.mprotect(start, end - start, access)
