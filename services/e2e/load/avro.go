package load

import (
	"encoding/binary"
	"math"
)

// appendFrame appends e in the Confluent wire format: 0x00, the schema id in 4 bytes, the Avro body of that schema version.
func appendFrame(dst []byte, e *Event, schemaID, version int) []byte {
	dst = append(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(schemaID))
	return appendAvro(dst, e, version)
}

// appendAvro appends the Avro binary encoding of e: the fields in the order of the schema, written by hand so that the load generator shares
// no code with the services that read it.
func appendAvro(dst []byte, e *Event, version int) []byte {
	dst = appendText(dst, e.EventID)
	dst = appendText(dst, e.SessionID)
	dst = appendText(dst, e.EventType)
	dst = binary.AppendVarint(dst, e.EventTime)
	dst = binary.AppendVarint(dst, e.SessionStart)
	dst = binary.AppendVarint(dst, e.Sequence)
	dst = append(dst, 0, 0, 0) // tenant, source, received_at: null, the router fills them
	dst = appendText(dst, e.AccountID)
	dst = appendNullable(dst, e.ProfileID, appendText)
	dst = appendText(dst, e.DeviceID)
	dst = appendText(dst, e.Device.Type)
	dst = appendNullable(dst, e.Device.Model, appendText)
	dst = appendText(dst, e.Device.OS)
	dst = appendNullable(dst, e.Device.OSVersion, appendText)
	dst = appendText(dst, e.TitleID)
	dst = binary.AppendVarint(dst, e.PositionMs)
	dst = appendNullable(dst, e.BitrateKbps, appendInt)
	dst = appendNullable(dst, e.BufferMs, appendInt)
	dst = appendNullable(dst, e.CDN, appendText)
	dst = appendNullable(dst, e.Country, appendText)
	dst = appendText(dst, e.AppVersion)
	dst = appendNullable(dst, e.IP, appendText)
	dst = appendNullable(dst, e.NetworkType, appendText)
	dst = appendNullable(dst, e.DRM, appendText)
	dst = appendNullable(dst, e.PlaybackRate, appendDouble)
	dst = appendNullable(dst, e.Price, appendDecimal)
	dst = appendNullable(dst, e.Error, appendError)
	dst = appendBlock(dst, e.Tags, appendTag)
	dst = appendBlock(dst, e.AudioTracks, appendText)
	dst = appendBlock(dst, e.ExperimentCells, appendCell)
	dst = appendNullable(dst, e.Email, appendText)
	if version >= 2 {
		dst = appendNullable(dst, e.CDNPop, appendText)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func appendInt(dst []byte, v int32) []byte { return binary.AppendVarint(dst, int64(v)) }

func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendDecimal(dst []byte, unscaled int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(unscaled))
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendError(dst []byte, e PlayerError) []byte {
	dst = appendText(dst, e.Code)
	dst = appendNullable(dst, e.Message, appendText)
	return appendBool(dst, e.Fatal)
}

func appendTag(dst []byte, t Tag) []byte { return appendText(appendText(dst, t.Key), t.Value) }

func appendCell(dst []byte, c Cell) []byte { return appendInt(appendText(dst, c.Name), c.Cell) }

// appendNullable writes the union ["null", T].
func appendNullable[T any](dst []byte, v Nullable[T], value func([]byte, T) []byte) []byte {
	if !v.Valid {
		return append(dst, 0)
	}
	return value(append(dst, 2), v.Value)
}

// appendBlock writes an array or a map as at most one block.
func appendBlock[T any](dst []byte, items []T, item func([]byte, T) []byte) []byte {
	if len(items) > 0 {
		dst = binary.AppendVarint(dst, int64(len(items)))
		for _, v := range items {
			dst = item(dst, v)
		}
	}
	return append(dst, 0)
}
