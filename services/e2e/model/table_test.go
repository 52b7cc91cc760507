package model

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// handRow is one row of a hand-made table.
type handRow struct {
	event     load.Event // masked
	partition int32
	offset    int64
	received  int64
	tenant    string
}

func textField(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}
}

func field(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

var handSchema = arrow.NewSchema([]arrow.Field{
	textField("_hoodie_commit_time"), textField("_hoodie_commit_seqno"), textField("_hoodie_record_key"),
	textField("_hoodie_partition_path"), textField("_hoodie_file_name"),
	textField("event_id"), textField("session_id"), textField("event_type"),
	field("event_time", arrow.FixedWidthTypes.Timestamp_us), field("session_start", arrow.FixedWidthTypes.Timestamp_us),
	field("sequence", arrow.PrimitiveTypes.Int64), field("received_at", arrow.FixedWidthTypes.Timestamp_us),
	textField("source"), textField("tenant"), textField("account_id"), textField("profile_id"), textField("device_id"),
	field("device", arrow.StructOf(textField("type"), textField("model"), textField("os"), textField("os_version"))),
	textField("title_id"), field("position_ms", arrow.PrimitiveTypes.Int64), field("bitrate_kbps", arrow.PrimitiveTypes.Int32),
	field("buffer_ms", arrow.PrimitiveTypes.Int32), textField("cdn"), textField("country"), textField("app_version"), textField("ip"),
	textField("network_type"), textField("drm"), field("playback_rate", arrow.PrimitiveTypes.Float64),
	field("price", &arrow.Decimal128Type{Precision: 18, Scale: 4}),
	field("error", arrow.StructOf(textField("code"), textField("message"), field("fatal", arrow.FixedWidthTypes.Boolean))),
	field("tags", arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String)),
	field("audio_tracks", arrow.ListOf(arrow.BinaryTypes.String)),
	field("experiment_cells", arrow.ListOf(arrow.StructOf(textField("name"), field("cell", arrow.PrimitiveTypes.Int32)))),
	textField("email"), textField("cdn_pop"), textField("event_date"), textField("event_hour"),
	field("_hoodie_kafka_source_partition", arrow.PrimitiveTypes.Int32), field("_hoodie_kafka_source_offset", arrow.PrimitiveTypes.Int64),
	field("_hoodie_kafka_source_timestamp", arrow.PrimitiveTypes.Int64),
}, nil)

// handTable writes tables as the format asks, one file group per partition folder, without the lake-writer's code.
type handTable struct {
	t      *testing.T
	base   string
	commit int
}

func (h *handTable) instant() string { return fmt.Sprintf("20261122080000%03d", h.commit) }

// write makes one commit whose files hold rows; group is the file id of all of them.
func (h *handTable) write(group string, rows []handRow) {
	h.t.Helper()
	h.commit++
	byPartition := make(map[string][]handRow)
	for _, row := range rows {
		path := partitionPath(&row.event)
		byPartition[path] = append(byPartition[path], row)
	}
	stats := make(map[string][]map[string]string)
	for partition, rows := range byPartition {
		name := group + "_1-0-1_" + h.instant() + ".parquet"
		stats[partition] = append(stats[partition], map[string]string{"fileId": group, "path": partition + "/" + name})
		h.writeFile(partition, name, rows)
	}
	text, err := json.Marshal(map[string]any{
		"partitionToWriteStats": stats, "extraMetadata": map[string]string{checkpointKey: "playback.events,0:7,1:9"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.put(".hoodie/"+h.instant()+".commit", text)
}

func (h *handTable) put(name string, data []byte) {
	path := filepath.Join(h.base, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *handTable) writeFile(partition, name string, rows []handRow) {
	builder := array.NewRecordBuilder(memory.DefaultAllocator, handSchema)
	for i, row := range rows {
		values := row.values()
		values["_hoodie_commit_time"], values["_hoodie_commit_seqno"] = h.instant(), fmt.Sprintf("%s_0_%d", h.instant(), i)
		values["_hoodie_file_name"], values["_hoodie_partition_path"] = name, partition
		for c, f := range handSchema.Fields() {
			setValue(h.t, builder.Field(c), values[f.Name])
		}
	}
	record := builder.NewRecordBatch()
	h.put(partition+"/"+name, nil)
	out, err := os.Create(filepath.Join(h.base, partition, name))
	if err != nil {
		h.t.Fatal(err)
	}
	writer, err := pqarrow.NewFileWriter(handSchema, out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = writer.Write(record)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (r *handRow) values() map[string]any {
	e := &r.event
	v := map[string]any{
		"_hoodie_record_key": "session_id:" + e.SessionID + ",event_id:" + e.EventID,
		"event_id":           e.EventID, "session_id": e.SessionID, "event_type": e.EventType, "event_time": e.EventTime,
		"session_start": e.SessionStart, "sequence": e.Sequence, "received_at": r.received, "source": "client", "tenant": r.tenant,
		"account_id": e.AccountID, "device_id": e.DeviceID, "title_id": e.TitleID, "position_ms": e.PositionMs, "app_version": e.AppVersion,
		"device": []any{e.Device.Type, orNil(e.Device.Model), e.Device.OS, orNil(e.Device.OSVersion)}, "tags": e.Tags,
		"event_date": partitionPath(e)[11:21], "event_hour": partitionPath(e)[33:],
		"_hoodie_kafka_source_partition": r.partition, "_hoodie_kafka_source_offset": r.offset,
		"_hoodie_kafka_source_timestamp": r.received / 1000,
	}
	for name, s := range map[string]load.Nullable[string]{
		"profile_id": e.ProfileID, "cdn": e.CDN, "country": e.Country, "ip": e.IP, "network_type": e.NetworkType, "drm": e.DRM, "email": e.Email,
		"cdn_pop": e.CDNPop,
	} {
		v[name] = orNil(s)
	}
	v["bitrate_kbps"], v["buffer_ms"] = orNil(e.BitrateKbps), orNil(e.BufferMs)
	v["playback_rate"], v["price"] = orNil(e.PlaybackRate), orNil(e.Price)
	if e.Error.Valid {
		v["error"] = []any{e.Error.Value.Code, orNil(e.Error.Value.Message), e.Error.Value.Fatal}
	}
	tracks, cells := []any{}, []any{}
	for _, track := range e.AudioTracks {
		tracks = append(tracks, track)
	}
	for _, cell := range e.ExperimentCells {
		cells = append(cells, []any{cell.Name, cell.Cell})
	}
	v["audio_tracks"], v["experiment_cells"] = tracks, cells
	return v
}

func orNil[T any](v load.Nullable[T]) any {
	if !v.Valid {
		return nil
	}
	return v.Value
}

func setValue(t *testing.T, builder array.Builder, value any) {
	if value == nil {
		builder.AppendNull()
		return
	}
	switch b := builder.(type) {
	case *array.StringBuilder:
		b.Append(value.(string))
	case *array.Int32Builder:
		b.Append(value.(int32))
	case *array.Int64Builder:
		b.Append(value.(int64))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(value.(int64)))
	case *array.Float64Builder:
		b.Append(value.(float64))
	case *array.BooleanBuilder:
		b.Append(value.(bool))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(value.(int64)))
	case *array.StructBuilder:
		b.Append(true)
		for i, v := range value.([]any) {
			setValue(t, b.FieldBuilder(i), v)
		}
	case *array.MapBuilder:
		b.Append(true)
		for _, tag := range value.([]load.Tag) {
			setValue(t, b.KeyBuilder(), tag.Key)
			setValue(t, b.ItemBuilder(), tag.Value)
		}
	case *array.ListBuilder:
		b.Append(true)
		for _, v := range value.([]any) {
			setValue(t, b.ValueBuilder(), v)
		}
	default:
		t.Fatalf("no value for a %T", builder)
	}
}
