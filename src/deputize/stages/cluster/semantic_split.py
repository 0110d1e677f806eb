"""Semantic split of calls with one template into tasks, by the meaning of the request and the kind of reply.

Communities of like requests are the atoms; atoms whose answers are of one kind and whose requests touch are joined
again, so that topics of one job stay together. Where calls have no answer, their instructions alone tell jobs apart
(`instruction_parts`). The resulting tasks must be separable from the request alone.
"""

# shapes: N calls, A atoms

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deputize.core.progress import Progress, silent
from deputize.core.records import BranchClassifier
from deputize.core.subjects import Subjects
from deputize.stages.cluster.branch_classifier import fit_branch_classifier
from deputize.stages.cluster.instruction_parts import group_by_instruction
from deputize.stages.cluster.merge import Fragment
from deputize.stages.cluster.recurring_lines import PromptCall
from deputize.stages.cluster.reply_profiles import Profile, ReplyFacts, closed, is_silent, profile, same_kind
from deputize.stages.cluster.text_communities import communities, embed, graph

MIN_CALLS_TO_SPLIT = 60
MIN_BRANCH = 20
MIN_LINKS = 0.02
"""Atoms touch when links between them are at least this share of what chance would give."""


def is_heterogeneous(fragment: Fragment) -> bool:
    """Check whether the replies of a fragment look like those of several jobs with one template."""
    p = fragment.profile
    if fragment.n < MIN_CALLS_TO_SPLIT:
        return False
    if is_silent(p):
        return True
    if p.kind() == "tool":
        # tool calls and text to a person are one mixed site; structured or closed replies next to them are not
        other = sum(
            n
            for shape, n in p.shapes.items()
            if shape.startswith(("json:", "tag:")) or shape in ("array", "code")
        )
        return other >= 0.1 * p.n
    if p.kind() == "short" and p.share("short") >= 0.9 and closed(p.short, p.n):
        return False
    if p.kind() == "json" and p.share("json") >= 0.9:
        top = max(n for shape, n in p.shapes.items() if shape.startswith("json:"))
        return top < 0.8 * p.n
    return not fragment.fixed(fragment.user)


def split_by_meaning(
    fragment: Fragment,
    *,
    models_dir: Path | None,
    seed: int,
    min_origins: int = 1,
    progress: Progress = silent,
) -> tuple[list[list[PromptCall]], BranchClassifier | None]:
    """The tasks in a fragment and the classifier that separates them; ([all], None) where there is only one task.

    The classifier reads the request alone. The calls are then filed by the classifier, not by their answers, so that
    discovery and the live path agree.
    """
    members = fragment.members
    texts = [call.opening[1] for call in members]
    distinct = list(dict.fromkeys(texts))
    if len(distinct) < MIN_CALLS_TO_SPLIT // 2:
        return [members], None
    if is_silent(fragment.profile):
        labels = group_by_instruction(texts, models_dir=models_dir, seed=seed, progress=progress)
        return _separable_tasks(members, labels, seed, min_origins)
    place = {text: i for i, text in enumerate(distinct)}
    weights: Any = graph(embed([text[:1500] for text in distinct], models_dir, progress))
    community = communities(weights, seed=seed)
    node = [place[text] for text in texts]
    atoms = _atoms(members, [int(community[i]) for i in node])
    tasks = _join(members, node, atoms, weights)
    return _separable_tasks(members, tasks, seed, min_origins)


def shape_class(reply: ReplyFacts) -> str:
    """The kind of answer, JSON by its fields; a word or three is another kind than longer text."""
    if reply.shape == "short":
        return "word" if len(reply.text.split()) <= 3 else "text"
    return "text" if reply.shape == "empty" else reply.shape


def _atoms(members: Sequence[PromptCall], community: Sequence[int]) -> list[str]:
    """An atom for each call: its community, parted by the kind of answer where that is mixed."""
    shapes: dict[int, Counter[str]] = defaultdict(Counter)
    for call, c in zip(members, community, strict=True):
        shapes[c][shape_class(call.reply)] += 1
    out: list[str] = []
    for call, c in zip(members, community, strict=True):
        top, n = shapes[c].most_common(1)[0]
        own = shape_class(call.reply)
        # a stray reply of another kind stays with its neighbours
        parted = n < 0.9 * shapes[c].total() and shapes[c][own] >= max(3, 0.05 * shapes[c].total())
        out.append(f"{c}/{own if parted else top}")
    return out


def _join(
    members: Sequence[PromptCall], node: Sequence[int], atoms: Sequence[str], weights: Any
) -> list[int]:
    """The task of each call: atoms joined, the most strongly linked first, while their answers are of one kind."""
    names = sorted(set(atoms))
    number = {name: i for i, name in enumerate(names)}
    of_call = np.array([number[a] for a in atoms])
    by_atom: dict[int, list[ReplyFacts]] = defaultdict(list)
    for call, a in zip(members, of_call.tolist(), strict=True):
        by_atom[a].append(call.reply)
    owner = np.full(weights.shape[0], -1, np.int64)
    owner[np.asarray(node)] = of_call
    links_AA = _links(owner, weights, len(names))
    profiles = {a: profile(by_atom[a]) for a in range(len(names))}
    task_of_atom = list(range(len(names)))
    open_AA = np.triu(np.ones_like(links_AA, bool), 1)
    while True:
        touch_AA = np.where(open_AA, _observed_over_expected(links_AA), -1.0)
        a, b = divmod(int(touch_AA.argmax()), len(names))
        if touch_AA[a, b] < 0:
            break
        open_AA[a, b] = False
        near = touch_AA[a, b] >= MIN_LINKS or _replies_prove_one_task(profiles[a], profiles[b])
        if not near or not same_kind(profiles[a], profiles[b]):
            continue
        task_of_atom = [a if h == b else h for h in task_of_atom]
        links_AA[a] += links_AA[b]
        links_AA[:, a] += links_AA[:, b]
        alive = [h for h in sorted(set(task_of_atom)) if h != a]
        open_AA[b, :] = open_AA[:, b] = False
        # atoms that did not fit before may fit the larger task
        open_AA[a, [h for h in alive if h > a]] = True
        open_AA[[h for h in alive if h < a], a] = True
        profiles[a] = profile(
            reply for atom, h in enumerate(task_of_atom) if h == a for reply in by_atom[atom]
        )
    return [task_of_atom[atom] for atom in of_call.tolist()]


def _replies_prove_one_task(a: Profile, b: Profile) -> bool:
    """Check whether the replies alone prove one task: two or more shared fields, three or more shared labels."""
    if a.kind() == "json" == b.kind():
        return len(a.fields.keys() & b.fields.keys()) >= 2
    if a.kind() == "short" == b.kind() and closed(a.short, a.n) and closed(b.short, b.n):
        return len(a.short.keys() & b.short.keys()) >= 3
    return False


def _links(owner: Any, weights: Any, n_atoms: int) -> Any:
    """The weight of the links between atoms, (A, A)."""
    coo = weights.tocoo()
    keep = (owner[coo.row] >= 0) & (owner[coo.col] >= 0)
    out_AA = np.zeros((n_atoms, n_atoms))
    np.add.at(out_AA, (owner[coo.row[keep]], owner[coo.col[keep]]), coo.data[keep])
    return out_AA


def _observed_over_expected(links_AA: Any) -> Any:
    """Observed link weight over the weight expected by chance, (A, A)."""
    degree_A = links_AA.sum(1)
    expected_AA = np.outer(degree_A, degree_A) / max(1.0, float(links_AA.sum()))
    return np.where(expected_AA > 0, links_AA / np.maximum(expected_AA, 1e-12), 0.0)


def _separable_tasks(
    members: Sequence[PromptCall], tasks: Sequence[int], seed: int, min_origins: int
) -> tuple[list[list[PromptCall]], BranchClassifier | None]:
    """Joins tasks that are too small or not separable from the request, until a classifier holds or one is left."""
    sizes = Counter(tasks)
    kinds = {
        t: profile(call.reply for call, own in zip(members, tasks, strict=True) if own == t) for t in sizes
    }
    large = [t for t, n in sizes.items() if n >= MIN_BRANCH]
    if len(large) < 2:
        return [list(members)], None
    rest = max(large, key=lambda t: (sizes[t], -t))
    merged = {t: t if t in large else _most_similar(kinds[t], kinds, large, rest) for t in sizes}
    texts = [call.opening[1] for call in members]
    groups = [call.group for call in members]
    subjects = Subjects([call.example.subject for call in members], min_origins)
    while True:
        names = [f"{merged[t]:04d}" for t in tasks]
        if len(set(names)) < 2:
            return [list(members)], None
        classifier, worst = fit_branch_classifier(texts, names, groups, subjects, seed=seed)
        if classifier is not None:
            break
        assert worst is not None
        a, b = sorted(map(int, worst))
        merged = {t: a if task_of_atom == b else task_of_atom for t, task_of_atom in merged.items()}
    out: dict[str, list[PromptCall]] = defaultdict(list)
    for call, name in zip(members, names, strict=True):
        out[name].append(call)
    order = sorted(out, key=lambda name: (-len(out[name]), name))
    rename = {name: f"{i}" for i, name in enumerate(order)}
    classifier = BranchClassifier(
        branches=[rename[b] for b in classifier.branches],
        weights=classifier.weights,
        bias=classifier.bias,
        margin=classifier.margin,
    )
    return [out[name] for name in order], classifier


def _most_similar(small: Profile, kinds: dict[int, Profile], large: Sequence[int], rest: int) -> int:
    near = [t for t in large if same_kind(small, kinds[t])]
    return max(near, key=lambda t: (kinds[t].n, -t)) if near else rest
