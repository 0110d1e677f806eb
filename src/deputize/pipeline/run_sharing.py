"""Runs of a home for the homes that share its object store: when they end, and again when an erasure or a rotation has
changed them."""

from __future__ import annotations

from deputize.core.errors import DeputizeError
from deputize.home import Home
from deputize.store.published.shared_runs import SharedRuns

AGAIN = "`deputize publish` tries again."


def shared_runs(home: Home) -> SharedRuns | None:
    """The runs that a home shares with others; None: it shares none. Raises as `Home.published`."""
    if home.published is None or not home.objects_settings().runs:
        return None
    return SharedRuns(home.path, home.keyring, home.audit, home.published)


def share_run(home: Home, run_id: str) -> str:
    """Shares a run that has ended, where homes share runs; a sentence for the user where that could not be done, else
    ""."""
    try:
        if (runs := shared_runs(home)) is not None:
            runs.share(run_id)
    except DeputizeError as error:
        return f"The run {run_id} is not shared: {error} {AGAIN}"
    return ""


def share_runs_again(home: Home) -> str:
    """Shares runs whose files have changed; as `share_run`."""
    try:
        if (runs := shared_runs(home)) is not None:
            runs.share_again()
    except DeputizeError as error:
        return f"Other homes may have runs as they were: {error} {AGAIN}"
    return ""
