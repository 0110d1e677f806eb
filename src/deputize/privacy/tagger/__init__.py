"""Our own trainable detector of personal data: a small encoder fine-tuned on labelled spans (S2).

learn makes one from labelled samples and measures it, load_tagger gives it as a detector, Tally measures any detector.
Nothing heavy is imported before one of these is called.
"""

from deputize.privacy.tagger.card import Label, Sample, TaggerCard
from deputize.privacy.tagger.evaluate import DetectionCounts
from deputize.privacy.tagger.learn import gather, learn
from deputize.privacy.tagger.samples import families, read_samples, sample_of, skeleton, split
from deputize.privacy.tagger.tagger import Tagger, load_tagger
from deputize.privacy.tagger.train import train_tagger

__all__ = [
    "DetectionCounts",
    "Label",
    "Sample",
    "Tagger",
    "TaggerCard",
    "families",
    "gather",
    "learn",
    "load_tagger",
    "read_samples",
    "sample_of",
    "skeleton",
    "split",
    "train_tagger",
]
