"""The home's ledger of tests: which groups a certificate was sought on, at which level (scoring.ledger).

Sealed with the home's own key, so it outlives runs and rotations of keys. It holds digests of pseudonyms and no call:
an erasure leaves it as it is, for what was spent stays spent. A home restored from a backup knows the tests until then
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deputize.files import locked
from deputize.scoring.ledger import Ledger, RecordedTest, with_test
from deputize.store.sealed import read_sealed, write_sealed

if TYPE_CHECKING:
    from deputize.home import Home


class LedgerFile:
    """HOME/ledger.sealed, read and added to."""

    def __init__(self, home: Home) -> None:
        self._path, self._home = home.ledger_path, home

    def read(self) -> Ledger:
        """All tests so far; none where there is no file.

        Raises:
            Tampered: it was changed, or sealed by another home: tests that were done may be missing.
            StoreError: it cannot be read.
        """
        if not self._path.exists():
            return Ledger()
        return read_sealed(self._path, Ledger, self._home.keyring)

    def add(self, test: RecordedTest) -> None:
        """Adds a test, before its labels are seen; the same test again (after a stop) is noted once.

        Raises:
            Tampered, StoreError: as `read`, or it cannot be written: then the test may not be done.
        """
        with locked(self._path):
            before = self.read()
            after = with_test(before, test)
            if after is not before:
                write_sealed(self._path, after, self._home.keyring)
