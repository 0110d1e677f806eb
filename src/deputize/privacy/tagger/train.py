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
from typing import Any

import msgspec
import numpy as np

from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.core.records import encode
from deputize.privacy.call_texts import valid_unicode
from deputize.privacy.detectors.base import Detector
from deputize.privacy.tagger import network
from deputize.privacy.tagger.encoding import classes_of, n_classes, windows
from deputize.privacy.tagger.labelled_text import Sample
from deputize.privacy.tagger.samples import sample_of
from deputize.privacy.tagger.tagger_card import CARD, TaggerCard
from deputize.privacy.tagger.threshold import OVERLAP, WINDOW, choose_threshold
from deputize.privacy.tagger.training_loop import (
    TaggerTraining,
    TaggerTrainingSettings,
    TrainingResult,
    TrainingWindow,
)
from deputize.privacy.tagger.wording import skeleton, split_by_group
from deputize.specialists.catalogue import sha256_of
from deputize.specialists.torch_runtime import torch_module

VALIDATION_SHARE = 0.1


def train_tagger(
    samples: Iterable[Sample | Mapping[str, Any]],
    out_dir: Path,
    *,
    base_dir: Path,
    settings: TaggerTrainingSettings,
    validation: Sequence[Sample] | None = None,
    companions: Sequence[Detector] = (),
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> TaggerCard:
    """Trains a tagger, chooses its threshold on the validation samples, writes it for load_tagger, and returns its card.

    Samples without spans are needed too: without them a tagger masks most of any text.

    Args:
        samples: labelled samples, as records or as {"id", "text", "spans": [{"type", "start", "end"}]}.
        out_dir: folder to write; replaced as a whole when training is done, not changed where it fails.
        base_dir: folder with config.json, model.safetensors and tokenizer.json of a BERT encoder.
        settings: of the training.
        validation: samples for the threshold; None: a tenth of the wordings is held out for it.
        companions: detectors that the tagger will be used with; the threshold is chosen for all of them together.
        progress: called after batches.
        clock: seconds, monotonic.

    Raises:
        BadInput: no labelled sample, a malformed sample, or a base that is not a BERT encoder.
        MissingExtra: torch, transformers or safetensors is not installed.
    """
    torch_module()
    check_out_dir(out_dir)
    started = clock()
    training, validation = _split(samples, validation, settings.seed)
    types = sorted({span.type for s in training for span in s.spans})
    if not types:
        raise BadInput("no labelled sample to train on: give samples with spans {type, start, end}")
    rng = np.random.default_rng(settings.seed)
    used = _limit_wordings(training, settings.max_per_wording, rng)
    tokenizer = network.read_tokenizer(base_dir)
    model, device, result = _fit(
        used, types, tokenizer, base_dir, settings, rng, started + settings.deadline_s, clock, progress
    )
    chosen = choose_threshold(model, tokenizer, types, validation, companions, progress)
    card = TaggerCard(
        types=types,
        threshold=chosen.threshold,
        n_train=len(used),
        n_negatives=sum(not s.spans for s in used),
        n_validation=len(validation),
        spans_by_type=dict(sorted(Counter(p.type for s in used for p in s.spans).items())),
        epochs=round(result.epochs, 3),
        stopped_early=result.stopped_early,
        train_s=round(clock() - started, 1),
        seed=settings.seed,
        validation=chosen.figures,
        settings=_recorded(settings, device),
        base_sha256=sha256_of(base_dir / "model.safetensors"),
        sources=dict(sorted(Counter(s.source or "unnamed" for s in used).items())),
    )
    return _write(model, card, base_dir, out_dir)


def _split(
    samples: Iterable[Sample | Mapping[str, Any]], validation: Sequence[Sample] | None, seed: int
) -> tuple[list[Sample], Sequence[Sample]]:
    """Training and validation samples; no wording is in both where the latter are held out here."""
    everything = [s if isinstance(s, Sample) else sample_of(s) for s in samples]
    if validation is not None:
        return everything, validation
    shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
    split = split_by_group([skeleton(s) for s in everything], shares, seed)
    training, held_out = ([s for s, at in zip(everything, split, strict=True) if at == k] for k in range(2))
    return training, held_out


def _fit(
    samples: Sequence[Sample],
    types: Sequence[str],
    tokenizer: Any,
    base_dir: Path,
    settings: TaggerTrainingSettings,
    rng: np.random.Generator,
    ends_at: float,
    clock: Callable[[], float],
    progress: Progress,
) -> tuple[Any, str, TrainingResult]:
    """The trained network on the CPU, the device it was trained on, and how training ended."""
    torch = torch_module()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    special = network.special_ids(tokenizer)
    training_windows = _windows(samples, tokenizer, types)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = network.build(base_dir, n_classes(types)).to(device)
        # The table of word vectors is half of all weights. Frozen, it costs no update and keeps what it knows of words
        # that are not in the samples.
        model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
        training = TaggerTraining(model, special, settings, device)
        result = training.run(training_windows, rng, ends_at, clock, progress)
    return model.to("cpu").eval(), device, result


def _recorded(settings: TaggerTrainingSettings, device: str) -> dict[str, Any]:
    """The settings that the card records."""
    recorded = settings._asdict()
    for name in ("seed", "epochs", "deadline_s"):
        del recorded[name]
    return {"window": WINDOW, "overlap": OVERLAP, **recorded, "device": device}


def _limit_wordings(
    samples: Sequence[Sample], max_per_wording: int, rng: np.random.Generator
) -> list[Sample]:
    """At most `max_per_wording` samples of each wording; samples without labels are all kept, for their wording is their content."""
    seen: Counter[str] = Counter()
    kept = []
    for index in rng.permutation(len(samples)):
        sample = samples[int(index)]
        if sample.spans:
            shape = hashlib.blake2b(skeleton(sample).encode(), digest_size=12).hexdigest()
            seen[shape] += 1
            if seen[shape] > max_per_wording:
                continue
        kept.append(sample)
    return kept


def _windows(samples: Sequence[Sample], tokenizer: Any, types: Sequence[str]) -> list[TrainingWindow]:
    out = []
    encodings = tokenizer.encode_batch([valid_unicode(s.text) for s in samples], add_special_tokens=False)
    for sample, encoding in zip(samples, encodings, strict=True):
        classes = classes_of(sample.spans, encoding.offsets, types).tolist()
        for window in windows(len(encoding.ids), WINDOW, OVERLAP):
            at = slice(window.start, window.end)
            out.append(TrainingWindow(encoding.ids[at], classes[at]))
    return out


def _write(model: Any, card: TaggerCard, base_dir: Path, out_dir: Path) -> TaggerCard:
    """Writes a temporary folder and renames it, so that after an interruption the old tagger is there or the new one."""
    check_out_dir(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        network.save(model, base_dir, fresh)
        card = msgspec.structs.replace(
            card, checksums={p.name: sha256_of(p) for p in sorted(fresh.iterdir())}
        )
        (fresh / CARD).write_bytes(encode(card))
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


def check_out_dir(out_dir: Path) -> None:
    """Raises BadInput where a tagger may not be written: over a file, or over a folder that holds something else."""
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / CARD).is_file():
        raise BadInput(f"{out_dir} contains something other than a tagger; name a new folder.")
    if out_dir.exists() and not out_dir.is_dir():
        raise BadInput(f"{out_dir} is a file; a tagger is a folder.")
