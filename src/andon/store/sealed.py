"""Records that several readers share: their dicts and lists refuse to be changed.

In:     a record that was just read, and that nobody else has seen.
Out:    the same record; every dict and list within is one that reads, compares, prints and serialises as before.
Always: a copy (`dict(...)`, `{**...}`, `copy.copy`, `copy.deepcopy`, pickle) is a plain dict or list, its owner's to change.
"""

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["SealedDict", "SealedList", "sealed"]

T = TypeVar("T")


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    what = "dict" if isinstance(self, dict) else "list"
    raise TypeError(
        f"this {what} belongs to a record that other readers share, so it cannot be changed; copy it with {what}(...) "
        "and write the change with Ledger.put"
    )


class SealedDict(dict[Any, Any]):
    """A dict that only reads."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """As a plain dict: what a copy is made from."""
        return dict, (dict(self),)


class SealedList(list[Any]):
    """A list that only reads."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """As a plain list: what a copy is made from."""
        return list, (list(self),)


_EMPTY = SealedDict()
_PLAIN = (str, int, float, type(None), bool)
_NAMES: dict[type, tuple[str, ...]] = {}


def sealed(value: T) -> T:
    """The same value with every dict and list within it sealed; records are changed in place, as nobody else has them yet."""
    found: Any = _sealed(value)
    return found  # type: ignore[no-any-return]


def _sealed(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        parts = tuple([_sealed(part) for part in value])
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value
    if kind is dict:
        return SealedDict({k: _sealed(v) for k, v in value.items()}) if value else _EMPTY
    if kind is list:
        return SealedList([_sealed(v) for v in value])
    if is_dataclass(kind):
        for name in _names(kind):
            old = getattr(value, name)
            new = _sealed(old)
            if new is not old:
                object.__setattr__(value, name, new)
    return value


def _names(kind: type) -> tuple[str, ...]:
    """The fields of a record's class that may hold a dict or a list."""
    if kind not in _NAMES:
        try:
            hints = get_type_hints(kind)
        except NameError:  # a class within a function may name others of it
            hints = {}
        _NAMES[kind] = tuple(f.name for f in fields(kind) if _may_change(hints.get(f.name, Any)))
    return _NAMES[kind]


def _may_change(hint: Any) -> bool:
    """Whether a value of that type may be or hold a dict or a list; where nobody can tell it is looked at."""
    if hint in _PLAIN or hint is Ellipsis or get_origin(hint) is Literal:
        return False
    if get_origin(hint) in (tuple, Union, UnionType):
        return any(_may_change(part) for part in get_args(hint))
    return True
