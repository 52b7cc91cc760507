"""Canonical JSON form of a row, the same for every engine, so that the Go side compares text with text.

Strings, booleans and integers are themselves; floats are JSON numbers; times are microseconds since the Unix epoch; dates are days since
it; decimals are text with their scale; bytes are "b64:" and base64; records and maps are objects; arrays are lists; null is null.
"""
import base64
import datetime
import decimal
import json

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)


def value(v):
    if v is None or isinstance(v, (bool, int, float, str)):
        return v
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, datetime.datetime):
        if v.tzinfo is None:  # Spark hands out local time; the process runs with TZ=UTC
            v = v.replace(tzinfo=datetime.timezone.utc)
        return (v - _EPOCH) // _MICROSECOND
    if isinstance(v, datetime.date):
        return (v - _EPOCH.date()).days
    if isinstance(v, (bytes, bytearray, memoryview)):
        return "b64:" + base64.b64encode(bytes(v)).decode()
    if hasattr(v, "asDict"):  # a Spark Row
        return {k: value(x) for k, x in v.asDict(False).items()}
    if isinstance(v, dict):
        return {str(k): value(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [value(x) for x in v]
    raise TypeError("no canonical form for %r" % type(v))


def line(names, values):
    return json.dumps({n: value(v) for n, v in zip(names, values)}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def parse(kind, v):
    """The Python value of a canonical one; kind is its Spark type."""
    from pyspark.sql import types

    if v is None:
        return None
    if isinstance(kind, types.TimestampType):
        return (_EPOCH + v * _MICROSECOND).replace(tzinfo=None)
    if isinstance(kind, types.DateType):
        return _EPOCH.date() + datetime.timedelta(days=v)
    if isinstance(kind, types.DecimalType):
        return decimal.Decimal(v)
    if isinstance(kind, types.BinaryType):
        return bytearray(base64.b64decode(v[len("b64:"):]))
    if isinstance(kind, (types.DoubleType, types.FloatType)):
        return float(v)
    if isinstance(kind, types.StructType):
        return tuple(parse(f.dataType, v.get(f.name)) for f in kind.fields)
    if isinstance(kind, types.ArrayType):
        return [parse(kind.elementType, x) for x in v]
    if isinstance(kind, types.MapType):
        return {k: parse(kind.valueType, x) for k, x in v.items()}
    return v
