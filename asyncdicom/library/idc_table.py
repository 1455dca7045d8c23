"""Rows of the index of IDC, used as a table is used: by row, by column, in slices.

    rows = client.sql_query("SELECT SeriesInstanceUID, Modality FROM index LIMIT 100")
    len(rows), rows[0]["Modality"], rows["SeriesInstanceUID"], rows[10:20]

What scripts for idc-index do with the DataFrame that they get there (`.iloc`, `.values`,
iteration over a column) works here, too; a real one is `rows.to_pandas()`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["IdcColumn", "IdcTable"]


class IdcColumn(tuple[Any, ...]):
    """The values of a column."""

    __slots__ = ()

    @property
    def values(self) -> IdcColumn:
        """The column itself."""
        return self

    @property
    def iloc(self) -> IdcColumn:
        """The column itself: values by position."""
        return self

    def tolist(self) -> list[Any]:
        """Return the values as a list."""
        return list(self)

    def unique(self) -> IdcColumn:
        """Return each value once, in order."""
        return IdcColumn(dict.fromkeys(self))


class IdcTable:
    """Rows with named columns, in memory."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.columns = tuple(columns)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<IdcTable of {len(self)} rows: {', '.join(self.columns)}>"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row by the names of its columns."""
        return (dict(zip(self.columns, row, strict=True)) for row in self._rows)

    @overload
    def __getitem__(self, key: str) -> IdcColumn: ...

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, key: slice) -> IdcTable: ...

    def __getitem__(self, key: str | int | slice) -> IdcColumn | dict[str, Any] | IdcTable:
        """Return a column by its name, a row by its position, or rows by a slice.

        Raises:
            KeyError: If there is no such column.
            IndexError: If there is no such row.

        """
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(key)
            at = self.columns.index(key)
            return IdcColumn(row[at] for row in self._rows)
        if isinstance(key, slice):
            return IdcTable(self.columns, self._rows[key])
        return dict(zip(self.columns, self._rows[key], strict=True))

    @property
    def iloc(self) -> IdcTable:
        """The table itself: rows by position."""
        return self

    def to_pandas(self) -> Any:
        """Return a DataFrame; needs pandas, which this package does not bring."""
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(list(self._rows), columns=list(self.columns))
