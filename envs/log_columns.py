"""The files of simulated logs: columns as dictionaries, so that each text is held once, whatever the number of rows."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.items import Item

from .arms import MarketArms

PLAIN_FIELDS = ("locale", "category", "brand", "price")
SURFACES = ("search", "feed", "category page", "mail")


class LogColumns:
    """Builds tables of logs.

    Parameters
    ----------
    items
        The shop's items, in the order ``arms.item_index`` counts them.
    arms
        The arms the rows refer to.
    """

    def __init__(self, items: tuple[Item, ...], arms: MarketArms) -> None:
        self._arms = arms
        self._items = items_table(items)
        self._titles = pa.array(arms.titles)

    def impressions(
        self,
        arm: npt.NDArray[np.intp],
        clicked: BoolArray,
        delay: FloatArray,
        position: npt.NDArray[np.int8],
        timestamp: IntArray,
        surface: npt.NDArray[np.int8],
    ) -> pa.Table:
        """One chunk of impressions."""
        middle = {
            "click": pa.array(clicked),
            "conversions": pa.array((~np.isnan(delay)).astype(np.int8)),
            "propensity": pa.array(self._arms.propensity[arm]),
            "position": pa.array(position + np.int8(1)),
            "timestamp": pa.array(timestamp, pa.timestamp("ms")),
            "conversion_delay_hours": pa.array(delay, from_pandas=True),
            "surface": pa.DictionaryArray.from_arrays(pa.array(surface), pa.array(SURFACES)),
        }
        return self._table(arm, middle)

    def arms(self, kept: npt.NDArray[np.intp], shown: IntArray, clicks: IntArray, conversions: IntArray) -> pa.Table:
        """The kept arms with their counts."""
        middle = {
            "impressions": pa.array(shown[kept]),
            "clicks": pa.array(clicks[kept]),
            "conversions": pa.array(conversions[kept]),
            "propensity": pa.array(self._arms.propensity[kept]),
        }
        return self._table(kept, middle)

    def _table(self, arm: npt.NDArray[np.intp], middle: dict[str, pa.Array]) -> pa.Table:
        item = pa.array(self._arms.item_index[arm].astype(np.int32))
        columns = {
            "item_id": pa.DictionaryArray.from_arrays(item, self._items["item_id"].combine_chunks()),
            "title": pa.DictionaryArray.from_arrays(pa.array(arm.astype(np.int32)), self._titles),
            **middle,
        }
        for name in self._items.column_names[1:]:
            columns[name] = pa.DictionaryArray.from_arrays(item, self._items[name].combine_chunks())
        return pa.table(columns)


def items_table(items: tuple[Item, ...]) -> pa.Table:
    """item_id, locale, category, brand, price (as text, as in `Item.fields`), and the other fields as a JSON object."""
    columns = {"item_id": [item.item_id for item in items]}
    columns |= {name: [item.fields[name][0] for item in items] for name in PLAIN_FIELDS}
    return pa.table({**columns, "attributes": [attributes_json(item, PLAIN_FIELDS) for item in items]})


def attributes_json(item: Item, without: tuple[str, ...] = ()) -> str:
    """The item's fields as a JSON object; a field with one value is that value, not a list."""
    fields = {
        name: values[0] if len(values) == 1 else values for name, values in item.fields.items() if name not in without
    }
    return json.dumps(fields, ensure_ascii=False)


def log_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Writer that keeps every text column dictionary-encoded, however many titles there are."""
    texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[*texts, "propensity"],
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"} if "timestamp" in schema.names else None,
        dictionary_pagesize_limit=1 << 28,
    )
