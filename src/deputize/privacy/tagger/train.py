"""Fine-tunes a small BERT encoder into a BIO tagger of personal data, on one CPU core in minutes or on a GPU.

References:
    Wang et al. (2020), "MiniLM", for the default encoder; Devlin et al. (2019), section 5.3, for token tagging.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.core.records import encode
from deputize.privacy.call_texts import valid_unicode
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.spans import detect_all, join_adjacent
from deputize.privacy.tagger import network
from deputize.privacy.tagger.card import Sample, TaggerCard
from deputize.privacy.tagger.encoding import classes_of, n_classes, spans_of, windows
from deputize.privacy.tagger.evaluate import DetectionCounts
from deputize.privacy.tagger.samples import sample_of, skeleton, split

WINDOW, OVERLAP = 256, 48
MAX_ADDED = 0.01
"""Share of the samples without labels that the tagger alone may touch, beside what other detectors touch already: all
detectors together are to stay under 3 %, and our rules touch 1.5 % of plain utterances."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class _Piece(NamedTuple):
    """One window of one training sample: piece ids and classes, both of length T."""

    ids: list[int]
    classes: list[int]


def train_tagger(
    samples: Iterable[Sample | Mapping[str, Any]],
    out_dir: Path,
    *,
    base_dir: Path,
    seed: int,
    epochs: float = 3,
    deadline_s: float = 480,
    progress: Progress = silent,
    dev: Sequence[Sample] | None = None,
    beside: Sequence[Detector] = (),
    learning_rate: float = 3e-4,
    hide: float = 0.1,
    max_per_wording: int = 40,
    tokens_per_batch: int = 1536,
    clock: Callable[[], float] = time.monotonic,
) -> TaggerCard:
    """Trains a tagger, chooses its threshold on the dev part, and writes it to a folder that load_tagger reads.

    Give it samples without spans too: without them a tagger masks most of any text.

    Args:
        samples: labelled samples, as records or as {"id", "text", "spans": [{"type", "start", "end"}]}.
        out_dir: folder to write; replaced as a whole when training is done, untouched when it fails.
        base_dir: folder with config.json, model.safetensors and tokenizer.json of a BERT encoder.
        seed: of everything random.
        epochs: passes over the training part.
        deadline_s: seconds after which training ends; the learning rate is brought down to meet it. Reading the dev
            part for the threshold comes on top.
        progress: told of batches.
        dev: samples for choices; without them a tenth of the wordings is kept back.
        beside: detectors that the tagger will be joined with; the threshold is chosen for all of them together.
        learning_rate: highest rate of the encoder; the new layer on top gets four times it.
        hide: share of unlabelled pieces hidden at random, so that the fixed words around a value do not carry it all.
        max_per_wording: samples of one wording (skeleton) that are used; further copies teach nothing new.
        tokens_per_batch: pieces in a batch, padding included.
        clock: seconds, monotonic.

    Returns:
        The card, also in out_dir/tagger.json.

    Raises:
        BadInput: no labelled sample, a malformed sample, or a base that is no BERT encoder.
        MissingExtra: torch, transformers or safetensors is missing.
    """
    torch = network.torch_module()
    check_place(out_dir)
    started = clock()
    everything = [s if isinstance(s, Sample) else sample_of(s) for s in samples]
    if dev is None:
        sides = split([skeleton(s) for s in everything], (0.9, 0.1), seed)
        train = [s for s, side in zip(everything, sides, strict=True) if side == 0]
        dev = [s for s, side in zip(everything, sides, strict=True) if side == 1]
    else:
        train = everything
    spans_by_type = Counter(span.type for s in train for span in s.spans)
    if not spans_by_type:
        raise BadInput("no labelled sample to learn from: give samples with spans {type, start, end}")
    types = sorted(spans_by_type)
    rng = np.random.default_rng(seed)
    used = _thin(train, max_per_wording, rng)

    tokenizer = network.read_tokenizer(base_dir)
    special = network.special_ids(tokenizer)
    pieces = _pieces(used, tokenizer, types)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network.build(base_dir, n_classes(types)).to(device)
        # The table of word vectors is half of all weights: left as it is, it costs no update and keeps what it knows
        # of words that the samples do not show.
        model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
        done, cut = _fit(
            model,
            pieces,
            special,
            torch=torch,
            device=device,
            rng=rng,
            epochs=epochs,
            clock=clock,
            ends_at=started + deadline_s,
            learning_rate=learning_rate,
            hide=hide,
            tokens_per_batch=tokens_per_batch,
            progress=progress,
        )
    model.to("cpu").eval()
    threshold, figures = _choose(model, tokenizer, special, dev, types, beside, progress)
    card = TaggerCard(
        types=types,
        threshold=threshold,
        n_train=len(used),
        n_negatives=sum(not s.spans for s in used),
        n_dev=len(dev),
        spans_by_type=dict(sorted(Counter(p.type for s in used for p in s.spans).items())),
        epochs=round(done, 3),
        cut=cut,
        train_s=round(clock() - started, 1),
        seed=seed,
        dev=figures,
        settings={
            "window": WINDOW,
            "overlap": OVERLAP,
            "learning_rate": learning_rate,
            "hide": hide,
            "max_per_wording": max_per_wording,
            "tokens_per_batch": tokens_per_batch,
            "device": device,
        },
        base_sha256=network.sha256(base_dir / "model.safetensors"),
        sources=dict(sorted(Counter(s.source or "unnamed" for s in used).items())),
    )
    return _write(model, card, base_dir, out_dir)


def _thin(samples: Sequence[Sample], most: int, rng: np.random.Generator) -> list[Sample]:
    """At most `most` samples of one wording; samples without labels are all kept, their wording is their content."""
    seen: Counter[str] = Counter()
    kept = []
    for index in rng.permutation(len(samples)):
        sample = samples[int(index)]
        if sample.spans:
            shape = hashlib.blake2b(skeleton(sample).encode(), digest_size=12).hexdigest()
            seen[shape] += 1
            if seen[shape] > most:
                continue
        kept.append(sample)
    return kept


def _pieces(samples: Sequence[Sample], tokenizer: Any, types: Sequence[str]) -> list[_Piece]:
    out = []
    encodings = tokenizer.encode_batch([valid_unicode(s.text) for s in samples], add_special_tokens=False)
    for sample, encoding in zip(samples, encodings, strict=True):
        classes = classes_of(sample.spans, encoding.offsets, types).tolist()
        for window in windows(len(encoding.ids), WINDOW, OVERLAP):
            at = slice(window.start, window.end)
            out.append(_Piece(encoding.ids[at], classes[at]))
    return out


def _batches(pieces: Sequence[_Piece], budget: int, rng: np.random.Generator) -> list[list[int]]:
    """Indices in batches of like length, at most `budget` pieces with padding, in random order."""
    lengths = np.array([len(p.ids) + 2 for p in pieces])
    # a little noise in the order, so that batches differ between epochs
    order = np.argsort(lengths + rng.uniform(0, 0.15, len(lengths)) * lengths, kind="stable")
    out: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, int(lengths[index]))
        if not out or longest * (len(out[-1]) + 1) > budget:
            out.append([])
            longest = int(lengths[index])
        out[-1].append(int(index))
    return [out[int(i)] for i in rng.permutation(len(out))]


def _fit(
    model: Any,
    pieces: Sequence[_Piece],
    special: network.SpecialTokens,
    *,
    torch: Any,
    device: str,
    rng: np.random.Generator,
    epochs: float,
    clock: Callable[[], float],
    ends_at: float,
    learning_rate: float,
    hide: float,
    tokens_per_batch: int,
    progress: Progress,
) -> tuple[float, bool]:
    """Trains in place; the passes done and whether the deadline cut in."""
    head = list(model.classifier.parameters())
    body = [p for p in model.bert.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": body, "top": learning_rate}, {"params": head, "top": 4 * learning_rate}],
        lr=learning_rate,
        weight_decay=0.01,
    )
    half = device == "cuda" or network.fast_bf16()
    n_all = max(1, round(epochs * len(_batches(pieces, tokens_per_batch, np.random.default_rng(0)))))
    begun = clock()
    allowed = max(1e-9, ends_at - begun)
    model.train()
    step, queue = 0, list[list[int]]()
    while step < n_all:
        spent = (clock() - begun) / allowed
        if spent >= 1:
            return epochs * step / n_all, True
        if not queue:
            queue = _batches(pieces, tokens_per_batch, rng)
        batch = [pieces[i] for i in queue.pop()]
        ids, mask = network.pad([p.ids for p in batch], special, torch)
        classes = np.full(tuple(ids.shape), -100, dtype=np.int64)
        for row, piece in enumerate(batch):
            classes[row, 1 : 1 + len(piece.classes)] = piece.classes
        if hide > 0:
            hidden = torch.from_numpy((rng.random(classes.shape) < hide) & (classes == 0))
            ids = ids.masked_fill(hidden, special.mask)
        done = max(step / n_all, spent)
        factor = min(done / 0.06, 1.0) * (1.0 - done) if done < 1 else 0.0
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * max(factor, 1e-3)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), torch.from_numpy(classes).flatten().to(device), ignore_index=-100
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*body, *head], 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        progress("training the tagger", step, n_all)
    return float(epochs), False


def _choose(
    model: Any,
    tokenizer: Any,
    special: network.SpecialTokens,
    dev: Sequence[Sample],
    types: Sequence[str],
    beside: Sequence[Detector],
    progress: Progress,
) -> tuple[float, dict[str, float]]:
    """The threshold with the best F2 on dev, of the tagger and the detectors beside it together, among those at which
    the tagger adds at most MAX_ADDED to the samples without labels that are touched; and its figures alone."""
    if not dev:
        return 0.5, {}
    texts = [s.text for s in dev]
    others = detect_all(beside, texts)
    read = network.probabilities(
        model, tokenizer, special, texts, window=WINDOW, overlap=OVERLAP, progress=progress
    )
    n_clean = sum(not s.spans for s in dev)
    best: tuple[float, float] | None = None
    chosen, figures = 0.5, dict[str, float]()
    for threshold in THRESHOLDS:
        alone, together = DetectionCounts(), DetectionCounts()
        n_added = 0
        for sample, (probabilities, words, offsets), known in zip(dev, read, others, strict=True):
            found = join_adjacent(spans_of(probabilities, words, offsets, types, threshold), sample.text)
            alone.add(sample, found)
            together.add(sample, [*found, *known])
            n_added += bool(found) and not known and not sample.spans
        excess = max(0.0, n_added / n_clean - MAX_ADDED) if n_clean else 0.0
        worth = (-excess, together.figures()["char_f2"] or 0.0)
        if best is None or worth > best:
            best, chosen = worth, threshold
            figures = {k: round(v, 4) for k, v in alone.figures().items() if v is not None}
    return chosen, figures


def _write(model: Any, card: TaggerCard, base_dir: Path, out_dir: Path) -> TaggerCard:
    """Writes the folder beside its place and moves it there, so that a stop leaves the old tagger or the new one."""
    import msgspec

    check_place(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        network.save(model, base_dir, fresh)
        card = msgspec.structs.replace(
            card, checksums={p.name: network.sha256(p) for p in sorted(fresh.iterdir())}
        )
        (fresh / network.CARD).write_bytes(encode(card))
        fresh.chmod(0o755)
        if out_dir.exists():
            stale = fresh.with_name(fresh.name + ".old")
            out_dir.rename(stale)
            fresh.rename(out_dir)
            shutil.rmtree(stale)
        else:
            fresh.rename(out_dir)
    except OSError as error:
        raise BadInput(f"the tagger cannot be written to {out_dir}: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return card


def check_place(out_dir: Path) -> None:
    """Raises BadInput where a tagger may not be written: over a file, or over a folder that holds something else."""
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / network.CARD).is_file():
        raise BadInput(f"{out_dir} holds something else than a tagger; name a new folder.")
    if out_dir.exists() and not out_dir.is_dir():
        raise BadInput(f"{out_dir} is a file; a tagger is a folder.")
