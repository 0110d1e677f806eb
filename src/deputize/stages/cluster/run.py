"""Task discovery (stage S3): the recurring tasks in an agent's calls, with contracts, keys and prompt recipes.

Tasks are found on the training and validation splits alone. Every other call is assigned by its template key, as a live
request is.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S3.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.progress import Progress, silent
from deputize.core.records import DEFAULT_TENANT, Call, Example, KeySpace, Task
from deputize.core.signature import signature
from deputize.core.sites import Site
from deputize.core.subjects import Subjects
from deputize.core.template_key import TemplateMatcher, branch_of, opening
from deputize.runner.base import Runner
from deputize.stages.cluster.assign import VARYING_TOOLS, TaskCounts, assign
from deputize.stages.cluster.discover import FoundTask, find_tasks
from deputize.stages.cluster.discovery_sample import DiscoverySample
from deputize.stages.cluster.output_contract import infer_contract
from deputize.stages.cluster.task_names import NAMED_AFTER, NameClues, names_of, site_name
from deputize.stages.cluster.task_prompt import recipe_of, template_text

MIN_CALLS = 5
"""Fewer calls are no recurring task."""


def run(
    curated: Curated,
    config: Convert,
    *,
    tenant: str = DEFAULT_TENANT,
    progress: Progress = silent,
    models_dir: Path | None = None,
    runner: Runner | None = None,
) -> Discovered:
    """The tasks of curated examples.

    Args:
        curated: the curated examples.
        config: seed and min_origins.
        tenant: whose calls they are, and so the tasks; "*": of several.
        models_dir: folder of an encoder that texts are embedded with; None: TF-IDF, which found tasks better
            (docs/log.md).
        runner: has the workers that assign the calls of a large log and, elsewhere, find tasks by signature; None: this
            process does it.
    """
    min_origins = config.min_origins
    seen = _sample(curated.examples, config.seed)
    subject_word = "origins" if any(e.origin for e in seen) else "jobs or runs"
    found, keyspaces = find_tasks(
        seen,
        tenant=tenant,
        min_origins=min_origins,
        replaced_segments=curated.replaced_segments,
        models_dir=models_dir,
        seed=config.seed,
        progress=progress,
        runner=runner,
    )
    kept: list[FoundTask] = []
    reason_of_key: dict[str, str] = {}
    for task in found:
        reason = _exclusion_reason(task, min_origins, subject_word)
        if reason:
            reason_of_key.update(dict.fromkeys(task.keys, reason))
        else:
            kept.append(task)
    ids = _ids(kept)
    task_of_key = {key: ids[i] for i, task in enumerate(kept) for key in task.keys}
    spaces = {space.signature: space for space in keyspaces}
    done = assign(curated.examples, keyspaces, task_of_key, reason_of_key, progress, runner)
    tasks = _tasks(kept, ids, done.counts, seen, spaces, {s.id: s for s in curated.sites}, min_origins)
    used = {task.signature for task in tasks}.union(*map(_signatures, kept))
    return Discovered(
        tasks=[msgspec.structs.replace(task, tenant=tenant) for task in tasks],
        keyspaces=[space for space in keyspaces if space.signature in used],
        assignment=done.task_of,
        unassigned=dict(done.unassigned),
        min_origins=min_origins,
    )


def discover(
    calls: Sequence[Call], *, seed: int = 0, models_dir: Path | None = None, progress: Progress = silent
) -> Iterator[dict[str, Any]]:
    """The task of every call of a log: {"id", "task", "name", "signature", "template"} a call, in order.

    Needs no home and trains nothing that is kept. Every call gets a task here, also those that no route could serve.
    """
    examples = [
        Example(
            call_id=call.id,
            request=call.request(),
            response=call.response,
            audience="human" if call.audience == "human" else "code",
            site=call.site,
            episode=call.episode or call.id,
            group=call.group or call.episode or call.id,
        )
        for call in calls
    ]
    found, keyspaces = find_tasks(examples, models_dir=models_dir, seed=seed, progress=progress)
    ids = _ids(found)
    counts: dict[str, TaskCounts] = defaultdict(TaskCounts)
    place: dict[int, str] = {}
    for task, task_id in zip(found, ids, strict=True):
        for call in task.members:
            counts[task_id].add(call.example)
        place.update({call.index: task_id for call in task.members})
    spaces = {space.signature: space for space in keyspaces}
    _reassign_by_branch(found, ids, spaces, place)
    tasks = {task.id: task for task in _tasks(found, ids, counts, examples, spaces, {}, 1)}
    for i, example in enumerate(examples):
        known = tasks.get(place.get(i, ""))
        yield {
            "id": example.call_id,
            "task": known.id if known else "not-text",
            "name": known.name if known else "requests with images or sound",
            "signature": signature(example.request),
            "template": known.template if known else "",
        }


def _reassign_by_branch(
    found: Sequence[FoundTask], ids: Sequence[str], spaces: dict[str, KeySpace], place: dict[int, str]
) -> None:
    """Assigns the calls of a semantic split by their branch classifier, as the live path does."""
    by_key = {key: ids[i] for i, task in enumerate(found) for key in task.keys if task.split}
    for task in found:
        if not task.split or task.signature not in spaces:
            continue
        space = spaces[task.signature]
        for call in task.members:
            base = task.variant[call.index].partition("~")[0]
            branch, _ = branch_of(space.branch_classifiers[base], opening(call.example.request)[1])
            place[call.index] = by_key.get(f"{base}~{branch}", place[call.index])


def _exclusion_reason(task: FoundTask, min_origins: int, subject_word: str) -> str:
    if not task.routable:
        return VARYING_TOOLS
    if len(task.members) < MIN_CALLS:
        return f"fewer than {MIN_CALLS} calls of its kind"
    if len({call.example.subject for call in task.members}) < min_origins:
        return f"from fewer than {min_origins} {subject_word}"
    return ""


def _sample(examples: Iterable[Example], seed: int) -> list[Example]:
    """The calls of train and validation that tasks are found on; of all splits where there are none."""
    sample = DiscoverySample(seed)
    sample.add_all(e for e in examples if e.split in ("train", "validation"))
    if not sample.n_seen:
        sample.add_all(examples)
    return sample.examples()


def _signatures(task: FoundTask) -> set[str]:
    return {signature(call.example.request) for call in task.members}


def _ids(found: Sequence[FoundTask]) -> list[str]:
    """An id for each task, from its most frequent template key, so that the same log gives the same ids."""
    out: list[str] = []
    for task in found:
        top = Counter(task.variant.values()).most_common(1)[0][0]
        out.append("t" + blake2b(f"{task.signature}|{top}".encode(), digest_size=4).hexdigest())
    return out


def _tasks(
    found: Sequence[FoundTask],
    ids: Sequence[str],
    counts: Mapping[str, TaskCounts],
    seen: Sequence[Example],
    spaces: dict[str, KeySpace],
    sites: dict[str, Site],
    min_origins: int,
) -> list[Task]:
    named: list[NameClues] = []
    unnamed: list[Task] = []
    for task, task_id in zip(found, ids, strict=True):
        counted = counts.get(task_id, TaskCounts())
        training = [seen[call.index] for call in task.members]
        space = spaces.get(task.signature, KeySpace(signature=task.signature))
        lines, heads = frozenset(space.lines), frozenset(space.heads)
        common, _ = Counter(task.variant.values()).most_common(1)[0]
        typical = next(call for call in task.members if task.variant[call.index] == common)
        fixed = _fixed(task, typical.index, space, typical.example)
        site = Counter(e.site for e in training).most_common(1)[0][0]
        made = Task(
            id=task_id,
            name="",
            contract=infer_contract(training, min_origins, log=seen, from_request=task.from_request),
            recipe=recipe_of(
                training,
                [task.variant[call.index] for call in task.members],
                sorted(heads & set(fixed)),
                min_origins,
                with_list=task.from_request,
            ),
            keys=sorted(task.keys),
            site=sites[site].name if site in sites else site,
            n_calls=counted.n_calls,
            n_episodes=len(counted.episodes),
            n_origins=len(counted.origins),
            signature=task.signature,
            template=template_text(typical.example, lines, heads),
        )
        unnamed.append(made)
        named.append(_clues(task, made, fixed, is_site_known=site in sites, min_origins=min_origins))
    return [
        msgspec.structs.replace(task, name=name) for task, name in zip(unnamed, names_of(named), strict=True)
    ]


def _clues(
    found: FoundTask, task: Task, fixed: Sequence[str], *, is_site_known: bool, min_origins: int
) -> NameClues:
    """Everything that a task can be named after."""
    some = found.members[:NAMED_AFTER]
    return NameClues(
        contract=task.contract,
        fixed=fixed,
        texts=[call.opening[1] for call in some],
        subjects=Subjects([call.example.subject for call in some], min_origins),
        site=site_name(task.site) if is_site_known else "",
        n_calls=len(found.members),
    )


def _fixed(task: FoundTask, index: int, space: KeySpace, example: Example) -> list[str]:
    system, user = TemplateMatcher(space).recognise_opening(example.request)
    return [*system.known, *user.known]
