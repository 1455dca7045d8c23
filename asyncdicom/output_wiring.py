"""Put where instances and objects go together from the options of a command."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from asyncdicom.jobs.instance_store import InstanceStore
    from asyncdicom.jobs.object_groups import ObjectNaming
    from asyncdicom.jobs.object_keeper import ObjectKeeper
    from asyncdicom.jobs.zip_store import ZipStore
    from asyncdicom.storage.catalog import Catalog
    from asyncdicom.storage.folder import OutputFolder
    from asyncdicom.storage.layout import Layout

__all__ = ["KEYS", "ObjectPlace", "collected_tags", "layout_for", "open_keeper", "open_store"]

KEYS = "keys"
"""The layout that names files by the keys of their objects."""

_UID_KEYWORDS = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})


@asynccontextmanager
async def open_store(options: Mapping[str, Any]) -> AsyncIterator[InstanceStore | ZipStore]:
    """Open where instances go.

    Args:
        options: Values of the output options of `get`.

    Raises:
        ConfigError: If the folder, the layout or the extension is not usable.

    """
    # Imported here: what stores nothing (or, as `dump`, otherwise) does without.
    from asyncdicom.storage.atomic import Durability  # noqa: PLC0415 -- lazy on purpose
    from asyncdicom.storage.folder import OutputFolder  # noqa: PLC0415 -- as above

    durability = Durability(options.get("durability", "batch"))
    with OutputFolder.open(options["output"], durability=durability) as folder:
        layout, collect = layout_for(options, folder)
        kind = _store_kind(as_zip=options.get("as_zip", False))
        async with kind(folder, layout, collect=collect) as store:
            yield store


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where objects go."""

    keeper: ObjectKeeper
    naming: ObjectNaming | None
    """None for names by keys, which depend on what is fetched."""
    catalog: Catalog | None

    async def finish(self) -> None:
        """Write what the catalog still holds."""
        if self.catalog is not None:
            self.catalog.flush()


@asynccontextmanager
async def open_keeper(options: Mapping[str, Any]) -> AsyncIterator[ObjectPlace]:
    """Open where objects go, and the catalog.

    Args:
        options: Values of the output options of `get`, and of those of transfers of objects.

    Raises:
        ConfigError: If the folder, the layout or the catalog is not usable.

    """
    # Imported here: what fetches no objects does without.
    from asyncdicom.jobs.object_keeper import ObjectKeeper  # noqa: PLC0415 -- lazy on purpose
    from asyncdicom.storage.atomic import Durability  # noqa: PLC0415 -- as above
    from asyncdicom.storage.folder import OutputFolder  # noqa: PLC0415 -- as above

    durability = Durability(options.get("durability", "batch"))
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(OutputFolder.open(options["output"], durability=durability))
        catalog = None
        if options.get("catalog") is not None:
            # Like all that few runs need: to begin takes longer than to fetch.
            from asyncdicom.storage.catalog import Catalog  # noqa: PLC0415 -- as above

            catalog = stack.enter_context(Catalog.open(options["catalog"]))
        naming: ObjectNaming | None = None
        collect: Mapping[int, str] = {}
        if options.get("layout", KEYS) != KEYS:
            from asyncdicom.storage.object_names import LayoutNaming  # noqa: PLC0415 -- as above

            layout, collect = layout_for(options, folder)
            naming = LayoutNaming(layout)
        # Only where somebody sees them: they cost as much as all the rest.
        sees_digests = any(options.get(name) for name in ("report", "as_json", "sha256"))
        keeper = ObjectKeeper(
            folder, catalog=catalog, collect=collect, computes_sha256=sees_digests
        )
        yield ObjectPlace(await stack.enter_async_context(keeper), naming, catalog)


def layout_for(
    options: Mapping[str, Any], folder: OutputFolder
) -> tuple[Layout, Mapping[int, str]]:
    """Return how files of instances are named, and what has to be collected for that.

    Args:
        options: Values of the output options of `get`.
        folder: Where the files go.

    Raises:
        ConfigError: If the layout or the extension is not usable.

    """
    from asyncdicom.storage.layout import Layout  # noqa: PLC0415 -- as in open_store
    from asyncdicom.storage.templates import parse_layout, variables_of  # noqa: PLC0415 -- as above

    text = options.get("layout", "flat")
    collect = collected_tags(variables_of(text))
    layout = Layout(
        parse_layout(text, known=set(collect.values()) | _UID_KEYWORDS),
        extension="" if options.get("iso_9660") else options.get("extension", ".dcm"),
        is_iso_9660=options.get("iso_9660", False),
        names_in=folder.names,
    )
    # Where folders have no names, none has to be read out of instances.
    return layout, {} if text == "flat" else collect


def _store_kind(*, as_zip: bool) -> type[InstanceStore | ZipStore]:
    if as_zip:
        from asyncdicom.jobs.zip_store import ZipStore  # noqa: PLC0415 -- for those who zip

        return ZipStore
    from asyncdicom.jobs.instance_store import InstanceStore  # noqa: PLC0415 -- as above

    return InstanceStore


def collected_tags(keywords: Collection[str]) -> dict[int, str]:
    """Return the tags to collect from instances so that files can be named.

    Args:
        keywords: Variables of a template; unknown ones are left out, for the
            layout to name them.

    """
    from asyncdicom.protocol.part10 import DEFAULT_TAGS  # noqa: PLC0415 -- as in open_store

    collect = dict(DEFAULT_TAGS)
    further = set(keywords) - set(collect.values()) - _UID_KEYWORDS
    if further:
        # Imported here: it costs 90 ms, and the usual variables do without.
        from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 -- lazy on purpose

        for keyword in further:
            tag = tag_for_keyword(keyword)
            if tag is not None:
                collect[tag] = keyword
    return collect
