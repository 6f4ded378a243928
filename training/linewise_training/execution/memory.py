"""Where the memory of a worker lies, and of the process that its Python jobs are forked from.

A fork and an exit take time by every page and every mapping that is there; a huge page counts as one. So the
heap and the interpreter's program lie in huge pages, in few mappings. Where the system has not what this
takes (glibc, Linux 6.1), all stays where it was. None of this bounds what a job can reach: see `sandbox`.
"""

from __future__ import annotations

import ctypes
from itertools import pairwise

_PAGE = 1 << 12
_HUGE = 1 << 21
_ARENA = 1 << 20  # bytes that Python takes at once for small objects, since 3.10
_HEAP = 6 << 20  # bytes that a worker comes to need
_MOST_MAPPED = 1 << 25  # glibc's own bound for the size above which it maps a block by itself
_LARGE = 1 << 20  # bytes of a program that is worth huge pages

_READ, _WRITE, _EXECUTE = 1, 2, 4
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 1, 2, 0x20, 0x100000
_MADV_DONTFORK, _MADV_HUGEPAGE, _MADV_COLLAPSE = 10, 14, 25
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

# Two neighbours' access: which of them gets more, and what. Code under test could change it just so.
_JOINED = {
    ("r--p", "r-xp"): (0, _READ | _EXECUTE),
    ("r-xp", "r--p"): (1, _READ | _EXECUTE),
    ("r--p", "rw-p"): (0, _READ | _WRITE),
}

_size, _pointer = ctypes.c_size_t, ctypes.c_void_p
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = _pointer, _size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
_libc.mmap.restype = _pointer
_libc.munmap.argtypes = _pointer, _size
_libc.madvise.argtypes = _pointer, _size, ctypes.c_int
_libc.mprotect.argtypes = _pointer, _size, ctypes.c_int
_libc.mincore.argtypes = _pointer, _size, _pointer
_libc.mremap.argtypes = _pointer, _size, _size, ctypes.c_int, _pointer
_libc.mremap.restype = _pointer
_libc.sbrk.argtypes = (ctypes.c_long,)
_libc.sbrk.restype = _pointer
_libc.malloc.argtypes = (_size,)
_libc.malloc.restype = _pointer
_libc.free.argtypes = (_pointer,)


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
        at = _map(None, _PAGE, _MAP_SHARED)
        if at is None:
            raise OSError(ctypes.get_errno(), "no memory to share")
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


def settle(mappings: str) -> None:
    """Move what lies in small pages to huge ones where that can be.

    Not shared with the parent process then. For a process that has one thread.

    Args:
        mappings: The process's own `/proc/self/maps`.
    """
    _set_arenas(_PYTHONS_ARENAS)  # what jobs ask for is not to lie in a heap that cannot shrink
    found = _mappings(mappings)
    for start, end, access, name in found:
        if access == "rw-p" and name in {"", "[heap]"}:
            _collapse(start, end)
    for program in {name for start, end, access, name in found if access == "r-xp" and end - start > _LARGE}:
        _copy_program([mapping for mapping in found if mapping[3] == program])


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


def _mappings(text: str) -> list[tuple[int, int, str, str]]:
    """Start, end, access and name of each, from a file `maps` of `/proc`."""
    found = []
    for line in text.splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        start, _, end = addresses.partition("-")
        found.append((int(start, 16), int(end, 16), access, name[0] if name else ""))
    return found


def _collapse(start: int, end: int) -> None:
    """Move pages that can be written to huge ones, where there are any."""
    there = (ctypes.c_char * (_HUGE // _PAGE))()
    for at in range(_up(start), _down(end), _HUGE):
        if not _libc.mincore(at, _HUGE, there) and any(there.raw):
            first = at + there.raw.index(b"\1") * _PAGE
            ctypes.memmove(first, first, 1)  # shared with the parent process none would be moved
            _libc.madvise(at, _HUGE, _MADV_COLLAPSE)


def _copy_program(mappings: list[tuple[int, int, str, str]]) -> None:
    """Put a copy in huge pages in the place of a program and its constants, which are mapped from a file."""
    start = end = mappings[0][0]
    for at, ends, access, _ in mappings:
        if at != end or access not in {"r--p", "r-xp"}:
            break
        end = ends
    low, high = _up(start), _down(end)
    size = high - low
    if size <= 0 or (room := _map(None, size + _HUGE, _MAP_PRIVATE)) is None:
        return
    copy = _up(room)
    _libc.madvise(copy, size, _MADV_HUGEPAGE)
    ctypes.memmove(copy, low, size)
    ready = not _libc.madvise(copy, size, _MADV_COLLAPSE) and not _libc.mprotect(copy, size, _READ | _EXECUTE)
    # In small pages it would cost more than it saves.
    if ready and _libc.mremap(copy, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, low) == low:
        _libc.munmap(room, copy - room)
        _libc.munmap(copy + size, room + _HUGE - copy)
    else:
        _libc.munmap(room, size + _HUGE)


def _join(one: tuple[int, int, str, str], other: tuple[int, int, str, str]) -> None:
    """Make two mappings of a library one, where either can have the access of the other besides."""
    joined = _JOINED.get((one[2], other[2]))
    if joined and one[3] == other[3] and one[3].startswith("/") and one[1] == other[0]:
        which, access = joined
        start, end, _, _ = (one, other)[which]
        _libc.mprotect(start, end - start, access)
