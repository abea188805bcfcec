"""Who was in which arm, and what each arm sums to: pure, from grouped rows of the table of scores."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from andon.rollouts.records import Allocation
from andon.stats.two_sample import UserSums

__all__ = ["MISMATCH", "NOBODY", "Groups", "Pair", "Split", "Sums", "arm_of", "before_sums", "split_of", "sums_of"]

Floats = NDArray[np.float64]

MISMATCH = 0.001
"""p-value of the sample-ratio check below which the split itself is taken for broken and no effect is read."""

_STRANGERS = 0.05
"""Share of units that name no user above which the split is not checked: with 20 interactions of each such user the check errs
in 0.5 % of experiments at a twentieth, in 2.5 % at a tenth, and in 80 % where nobody is named."""

NOBODY = -1
"""Number of the user of rows that name none."""


def arm_of(arm: str | None, allocation: Allocation) -> Literal["control", "treatment"] | None:
    """The arm of an interaction by its column ``arm``: a variant, or ``key=variant,key2=variant2`` of several flags.

    Another experiment's variants, an `unallocated` request and one that claims both arms count for none. Of a shadow, the
    treatment is what was asked for as its shadow.
    """
    treatment, control = allocation.variants
    names = {f"{treatment}-shadow" if allocation.shadow else treatment: "treatment", control: "control"}
    found = {names.get(token.rpartition("=")[2].strip()) for token in (arm or "").split(",")} - {None}
    if found == {"control"}:
        return "control"
    return "treatment" if found == {"treatment"} else None


@dataclass(frozen=True, slots=True)
class Sums:
    """One arm on one metric: sums over its units. A unit is a user; an interaction that names no user is one of its own.

    x_i is the sum of a unit's values, n_i the number of its interactions, both times the sampling weight.
    """

    units: float = 0.0
    rows: float = 0.0
    """Interactions as they were kept, without weights."""
    x: float = 0.0
    n: float = 0.0
    xx: float = 0.0
    nn: float = 0.0
    xn: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


Pair = tuple[Sums, Sums]
"""Control and treatment."""


class Groups(NamedTuple):
    """Groups of rows of one metric, each of one arm, user, risk category and weight; columns of the same length."""

    treated: NDArray[np.bool_]
    user: NDArray[np.int64]
    """Number of the user, `NOBODY` where none is named."""
    weight: Floats
    n: Floats
    """Rows that have a value."""
    total: Floats
    squares: Floats

    def only(self, chosen: NDArray[np.bool_]) -> "Groups":
        """Some of the groups."""
        return Groups(
            self.treated[chosen], self.user[chosen], self.weight[chosen],
            self.n[chosen], self.total[chosen], self.squares[chosen],
        )  # fmt: skip


def sums_of(groups: Groups) -> Pair:
    """What each arm sums to."""
    return _sums(groups.only(~groups.treated)), _sums(groups.only(groups.treated))


class Split(NamedTuple):
    """Who came, by what their rows say."""

    control: int
    """Units: users, and interactions that name no user."""
    treatment: int
    crossed: int
    """Users who were seen in both arms; they count in each."""
    unnamed: int
    """Interactions that name no user."""
    uneven: bool = False
    """Whether rows have different sampling weights: who is seen may then depend on the arm."""

    @property
    def of_users(self) -> bool:
        """Whether the counts are of users as they were drawn, so that the split can be checked."""
        return not self.uneven and self.unnamed <= _STRANGERS * (self.control + self.treatment)


def split_of(treated: NDArray[np.bool_], user: NDArray[np.int64], rows: Floats) -> Split:
    """Units of each arm, and users who are in both."""
    users = [np.unique(user[(treated == arm) & (user != NOBODY)]) for arm in (False, True)]
    alone = [round(float(rows[(treated == arm) & (user == NOBODY)].sum())) for arm in (False, True)]
    both = np.intersect1d(users[0], users[1], assume_unique=True)
    return Split(len(users[0]) + alone[0], len(users[1]) + alone[1], len(both), sum(alone))


def before_sums(groups: Groups, before: Sequence[Floats]) -> tuple[UserSums, UserSums] | None:
    """What `cuped` needs: each user's value now, linearised, beside the same metric's mean before the experiment.

    With R the arm's ``sum(x) / sum(n)``, a user counts as ``R + (x_i - R n_i) / mean(n)`` (as in `clustered`).

    Args:
        groups: of the metric, since the start.
        before: sum and number of values before the start, by number of the user.

    Returns:
        None where an arm has no user with a name, or interactions without one, which no past belongs to.
    """
    if (groups.user == NOBODY).any():
        return None
    total, size = before
    arms = []
    for treated in (False, True):
        x, n = _by_user(groups.only(groups.treated == treated), len(size))
        there = n > 0
        if not there.any():
            return None
        ratio = x.sum() / n.sum()
        y = ratio + (x[there] - ratio * n[there]) / n[there].mean()
        seen = size[there] > 0
        past = total[there][seen] / size[there][seen]
        sums = (len(y), y.sum(), y @ y, seen.sum(), y[seen].sum(), past.sum(), past @ past, past @ y[seen])
        arms.append(UserSums(*(float(s) for s in sums)))
    return arms[0], arms[1]


def _sums(groups: Groups) -> Sums:
    """Sums over units: by user where one is named, each row by itself where none is."""
    alone = groups.only(groups.user == NOBODY)
    w, w2 = alone.weight, alone.weight**2
    own = Sums(
        units=float(alone.n.sum()), rows=float(alone.n.sum()), x=float(w @ alone.total), n=float(w @ alone.n),
        xx=float(w2 @ alone.squares), nn=float(w2 @ alone.n), xn=float(w2 @ alone.total),
    )  # fmt: skip
    named = groups.only(groups.user != NOBODY)
    if not len(named.user):
        return own
    x, n = _by_user(named, int(named.user.max()) + 1)
    people = Sums(
        units=float((n > 0).sum()), rows=float(named.n.sum()), x=float(x.sum()), n=float(n.sum()),
        xx=float(x @ x), nn=float(n @ n), xn=float(x @ n),
    )  # fmt: skip
    return people + own


def _by_user(groups: Groups, users: int) -> tuple[Floats, Floats]:
    """Sum of values and number of interactions of each user, weighted."""
    x = np.bincount(groups.user, weights=groups.weight * groups.total, minlength=users)
    n = np.bincount(groups.user, weights=groups.weight * groups.n, minlength=users)
    return np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
