"""The groups of a log, which are the independent units of a certificate, and the split of each."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from deputize.core.config import Convert
from deputize.core.records import Call, Split
from deputize.scoring.certificates import units_needed
from deputize.scoring.ledger import level
from deputize.scoring.split_sizes import MAX_CALIBRATION, is_short
from deputize.stages.curate.first_pass import CallSummary
from deputize.stages.curate.repeated_prompts import JoinedGroups, join_repeated_prompts
from deputize.stages.curate.split import (
    are_few,
    assign_splits,
    count_people,
    group_calls,
    join_by_person,
    joined_groups,
    shares_by_need,
)


class Splits(NamedTuple):
    """The group and the split of each call."""

    group_of: dict[str, str]
    """Call id -> group."""
    split_of_group: dict[str, Split]
    warnings: list[str]
    n_groups_joined: int = 0
    """Groups that became part of another one, since they repeat its prompts."""
    n_people: int = 0
    """People who asked, where they are few behind many groups; else 0."""
    by_person: bool = False
    """The groups of one person are one group."""
    training_only: Container[str] = frozenset()
    """Ids of calls that may be in no other split than train."""

    def of(self, call: Call | CallSummary) -> Split:
        """The split of a call; "" where it is in none."""
        split = self.split_of_group.get(self.group_of[call.id], "")
        return "" if split != "train" and call.id in self.training_only else split


def split_calls(
    calls: Sequence[CallSummary],
    others: Sequence[CallSummary],
    config: Convert,
    training_only: Container[str] = frozenset(),
) -> Splits:
    """Groups calls and assigns the groups to splits.

    A group holds whole episodes, all episodes that repeat each other's prompts and, where a claim about new people is
    possible, everything that one person asked. Where calibration gets less than it could use, what would be
    validation is kept in reserve (docs/glossary.md).

    Args:
        calls: the calls that are curated, with their episodes.
        others: the other calls of the log; they go with their group, or are split by themselves where it has others
            only.
        config: seed, shares of the splits, and the claim that is asked for.
        training_only: ids of calls that may be in no other split than train.
    """
    grouping = _group([*calls, *others], calls, config)
    group_of = grouping.group_of
    needed = units_needed(config.epsilon, level(0, config.delta))
    counted = [c for c in calls if c.id not in training_only]
    reserve = config.may_keep_reserve
    shares = config.split or shares_by_need(counted, group_of, needed, keeps_reserve=reserve)
    reserve = reserve and is_short(shares)
    split_of = assign_splits(calls, group_of, shares, config.seed, training_only)
    with_curated = {group_of[c.id] for c in calls}
    alone = [c for c in others if group_of[c.id] not in with_curated]
    split_of |= assign_splits(alone, group_of, shares, config.seed, training_only)
    if reserve:
        split_of = {group: "reserve" if s == "validation" else s for group, s in split_of.items()}
    return grouping._replace(split_of_group=split_of, training_only=training_only)


def _group(every: Sequence[CallSummary], curated: Sequence[CallSummary], config: Convert) -> Splits:
    """The groups, not yet assigned to splits."""
    group_of, warnings = group_calls(curated)
    if warnings:  # too few episodes: split by prompt
        return Splits({c.id: c.prompt.hex() for c in every}, {}, warnings)
    if len(every) > len(curated):
        group_of = joined_groups((c.id, c.group, c.episode) for c in every)
    joined = join_repeated_prompts(every, group_of)
    n_people = count_people(every)
    few = are_few(n_people, len(set(group_of.values())))
    share = config.split[2] / sum(config.split) if config.split else MAX_CALIBRATION
    n_needed = units_needed(config.epsilon, level(0, config.delta)) / max(share, 1e-9)
    people = join_by_person(every, joined.group_of, n_needed)
    warnings = [*_repeat_warnings(joined), *(_people_warning(n_people, people is not None) if few else ())]
    return Splits(
        joined.group_of if people is None else people,
        {},
        warnings,
        joined.n_joined,
        n_people if few else 0,
        people is not None,
    )


def _repeat_warnings(joined: JoinedGroups) -> list[str]:
    out = []
    if joined.n_joined:
        out.append(
            f"{joined.n_joined:,} group(s) repeat prompts of others (retries, scheduled jobs) and were joined to them: "
            "they count as one piece of evidence."
        )
    if joined.n_too_large:
        out.append(
            f"{joined.n_too_large:,} prompt(s) recur in so many groups that joining these would leave too few. They were "
            "not joined; where such prompts do not recur in the same way in future, certificates may promise too much."
        )
    return out


def _people_warning(n_people: int, by_person: bool) -> list[str]:
    people = "one person" if n_people == 1 else f"{n_people:,} people"
    if by_person:
        return [f"The log is of {people}. It was split by person, so that claims hold for new people too."]
    return [
        f"The log is of {people}, too few to say anything of others. It was split by episode: certificates are about "
        "these people, and a new person may differ."
    ]
