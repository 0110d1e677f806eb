"""Our own trainable detector of personal data: a small encoder fine-tuned on labelled spans (S2).

learn makes one from labelled samples and measures it, load_tagger gives it as a detector, Tally measures any detector.
Nothing heavy is imported before one of these is called.
"""

from deputize.stages.curate.tagger.lesson import gather, learn
from deputize.stages.curate.tagger.measure import Tally
from deputize.stages.curate.tagger.records import Label, Sample, TaggerCard
from deputize.stages.curate.tagger.samples import families, read_samples, sample_of, skeleton, split
from deputize.stages.curate.tagger.tagger import Tagger, load_tagger
from deputize.stages.curate.tagger.train import train_tagger

__all__ = [
    "Label",
    "Sample",
    "Tagger",
    "TaggerCard",
    "Tally",
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
