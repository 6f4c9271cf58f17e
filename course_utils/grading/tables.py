"""Tables as trees: pandas' frames, series, indexes and timestamps, and datasets of the datasets library.

Columns of numbers travel as arrays, others entry by entry. The libraries are imported where one of their
objects is met, and on the other side when one arrives.
"""

import re
import sys

import numpy as np

from course_utils.grading.values import TooLarge, Unreadable

ROWS = 200_000
COLUMNS = 200
_NULLABLE = re.compile(r"(boolean|U?Int(8|16|32|64)|Float(32|64)|string|str|object)\Z")
_PLAIN = re.compile(r"(b1|[iu][1248]|f[48]|[mM]8\[(s|ms|us|ns)\])\Z")
_VALUE = re.compile(r"(bool|u?int(8|16|32|64)|float(16|32|64)|(large_)?string|timestamp\[\w+\]|null)\Z")


def encode(encoder, value, depth):
    """The tree of a table, or None where the value is none."""
    for module, one in (("pandas", _pandas), ("datasets", _dataset)):
        # the class of a student may derive from theirs
        if module in sys.modules and any(
            str(c.__module__).split(".")[0] == module for c in type(value).__mro__
        ):
            return one(encoder, value, depth)
    return None


def _pandas(encoder, value, depth):
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return ["nothing", "NA" if value is pd.NA else "NaT"]
    if isinstance(value, pd.Timestamp):
        return ["timestamp", value.isoformat()]
    if isinstance(value, pd.DataFrame):
        columns = _small(value) and [_column(encoder, value.iloc[:, i], depth) for i in range(value.shape[1])]
        heads = [_index(encoder, labels, depth) for labels in (value.columns, value.index)]
        return ["frame", *heads, columns, encoder.encode(dict(value.attrs), depth + 1)]
    if isinstance(value, pd.Series):
        name = _small(value) and encoder.encode(value.name, depth + 1)
        return ["series", name, _index(encoder, value.index, depth), _column(encoder, value, depth)]
    if isinstance(value, pd.Index):
        return _small(value) and _index(encoder, value, depth)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return encoder.encode(np.asarray(value), depth + 1)
    return None


def _small(table):
    """True.

    Raises:
        TooLarge: if the table is larger than what may cross.
    """
    rows, columns = (*table.shape, 1)[:2]
    if rows > ROWS or columns > COLUMNS:
        raise TooLarge(f"a table of {rows:,} × {columns:,}")
    return True


def _column(encoder, column, depth):
    """[dtype, values] of a Series or an Index."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, np.dtype) and _PLAIN.match(dtype.str[1:]):
        return [dtype.str[1:], encoder.encode(column.to_numpy(), depth + 1)]
    if isinstance(dtype, pd.CategoricalDtype):
        codes = pd.Categorical(column).codes
        return ["category", encoder.encode(codes, depth + 1), encoder.many(dtype.categories.tolist(), depth)]
    name = str(dtype) if _NULLABLE.match(str(dtype)) else "object"
    if isinstance(dtype, pd.StringDtype):
        name = "string" if dtype.na_value is pd.NA else "str"
    return [name, encoder.many(column.astype(object).tolist(), depth)]


def _index(encoder, index, depth):
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return ["index", "range", encoder.encode(index.name), [index.start, index.stop, index.step]]
    if isinstance(index, pd.MultiIndex):
        return ["index", "multi", encoder.many(list(index.names), depth), encoder.many(index.tolist(), depth)]
    return ["index", "plain", encoder.encode(index.name), _column(encoder, index, depth)]


def _dataset(encoder, value, depth):
    from datasets import ClassLabel, Dataset, Value

    if not isinstance(value, Dataset):
        return None
    _small(value)
    plain, columns = value.with_format(None), []
    for name, feature in value.features.items():
        if isinstance(feature, ClassLabel):
            kind = ["names", encoder.many(feature.names, depth)]
        else:
            kind = feature.dtype if isinstance(feature, Value) else None
        columns.append([name, kind, encoder.many(list(plain[name]), depth)])
    return ["dataset", columns]


def _decode_nothing(decoder, parts, depth):
    import pandas as pd

    return {"NA": pd.NA, "NaT": pd.NaT}[parts[0]]


def _decode_timestamp(decoder, parts, depth):
    import pandas as pd

    return pd.Timestamp(parts[0][:60])


def _values(decoder, parts, depth):
    """A column's values, as an array of numpy or pandas."""
    import pandas as pd

    name = parts[0]
    if name == "category":
        codes, known = decoder.decode(parts[1], depth + 1), decoder.many(parts[2], depth)
        return pd.Categorical.from_codes(codes, known)
    if _PLAIN.match(name):
        found = decoder.decode(parts[1], depth + 1)
        if not isinstance(found, np.ndarray) or found.dtype.str[1:] != name or found.ndim != 1:
            _refuse("column")
        return found
    if not _NULLABLE.match(name):
        _refuse("column")
    values = decoder.many(parts[1], depth)
    if name == "object":
        found = np.empty(len(values), dtype=object)
        for i, value in enumerate(values):
            found[i] = value
        return found
    return pd.array(values, dtype=name)


def _decode_index(decoder, parts, depth):
    import pandas as pd

    kind, name, *rest = parts
    if kind == "range":
        start, stop, step = rest[0]
        if not all(type(n) is int for n in rest[0]) or range(start, stop, step)[ROWS:]:
            _refuse("index")
        return pd.RangeIndex(start, stop, step, name=decoder.decode(name))
    if kind == "multi":
        names, labels = decoder.many(name, depth), decoder.many(rest[0], depth)
        return pd.MultiIndex.from_tuples(labels, names=names)
    values = _values(decoder, rest[0], depth)
    dtype = object if rest[0][0] == "object" else None
    return pd.Index(values, name=decoder.decode(name), dtype=dtype)


def _decode_frame(decoder, parts, depth):
    import pandas as pd

    labels, index, columns, attrs = parts
    labels, index = (decoder.decode(tree, depth + 1) for tree in (labels, index))
    if not isinstance(labels, pd.Index) or not isinstance(index, pd.Index) or len(labels) != len(columns):
        _refuse("frame")
    if len(columns) > COLUMNS or len(index) > ROWS:
        _refuse("frame of that size")
    # by number first: two columns may bear the same name
    made = {i: pd.Series(_values(decoder, c, depth), index=index) for i, c in enumerate(columns)}
    frame = pd.DataFrame(made, index=index) if made else pd.DataFrame(index=index)
    frame.columns = labels
    attrs = decoder.decode(attrs, depth + 1)
    frame.attrs.update(attrs if isinstance(attrs, dict) else {})
    return frame


def _decode_series(decoder, parts, depth):
    import pandas as pd

    name, index, column = parts
    index, name = decoder.decode(index, depth + 1), decoder.decode(name, depth + 1)
    return pd.Series(_values(decoder, column, depth), index=index, name=name)


def _decode_dataset(decoder, parts, depth):
    from datasets import ClassLabel, Dataset, Features, Value

    columns, features = {}, {}
    if len(parts[0]) > COLUMNS:
        _refuse("dataset of that size")
    for name, kind, trees in parts[0]:
        columns[str(name)[:200]] = decoder.many(trees, depth)
        if isinstance(kind, list):
            features[name] = ClassLabel(names=decoder.many(kind[1], depth))
        elif kind is not None and _VALUE.match(kind):
            features[name] = Value(kind)
    known = Features(features) if len(features) == len(columns) else None
    return Dataset.from_dict(columns, features=known)


def _refuse(what):
    raise Unreadable(f"no {what}")


DECODERS = {
    "nothing": _decode_nothing,
    "timestamp": _decode_timestamp,
    "index": _decode_index,
    "frame": _decode_frame,
    "series": _decode_series,
    "dataset": _decode_dataset,
}
