"""Our own trainable detector of personal data: a small encoder fine-tuned on labelled spans.

train_and_measure makes one from labelled samples, load_tagger loads it as a detector, DetectionCounts measures any
detector. torch and transformers are imported by these functions, not by this package.
"""

from deputize.privacy.tagger.detection_counts import DetectionCounts
from deputize.privacy.tagger.labelled_text import Label, Sample
from deputize.privacy.tagger.samples import read_samples, sample_of
from deputize.privacy.tagger.tagger_card import TaggerCard
from deputize.privacy.tagger.tagger_detector import Tagger, load_tagger
from deputize.privacy.tagger.train import train_tagger
from deputize.privacy.tagger.train_and_measure import load_samples, train_and_measure
from deputize.privacy.tagger.training_loop import TaggerTrainingSettings
from deputize.privacy.tagger.wording import families, skeleton, split_by_group

__all__ = [
    "DetectionCounts",
    "Label",
    "Sample",
    "Tagger",
    "TaggerCard",
    "TaggerTrainingSettings",
    "families",
    "load_samples",
    "load_tagger",
    "read_samples",
    "sample_of",
    "skeleton",
    "split_by_group",
    "train_and_measure",
    "train_tagger",
]
