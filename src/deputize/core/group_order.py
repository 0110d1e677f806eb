"""The order of groups: that of the log. Their names come from a secret of the home and sort otherwise in each, and the
same log and seed shall give the same results in all."""

from __future__ import annotations

from collections.abc import Iterable


def groups_in_order(names: Iterable[str]) -> list[str]:
    """Each group once, in the order of the log.

    Args:
        names: the group of each call, in the order of the log.
    """
    return list(dict.fromkeys(names))


def group_numbers(names: Iterable[str]) -> dict[str, int]:
    """The place of each group in the order of the log. Arguments as of `groups_in_order`."""
    return {group: place for place, group in enumerate(groups_in_order(names))}
