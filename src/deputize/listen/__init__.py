"""Records the calls of programs that orchestrate themselves, without a gateway in their path: decorators and hooks.

from deputize.listen import Listener
"""

from __future__ import annotations

from deputize.listen.listener import Listener

__all__ = ["Listener"]
