package model

import (
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// column is one column whose value follows from the event.
type column struct {
	name string
	put  func(dst []byte, e *load.Event) []byte
}

// expected lists the table's columns that the event decides; masking has been applied to the event before.
var expected = []column{
	{"event_id", func(b []byte, e *load.Event) []byte { return putText(b, e.EventID) }},
	{"session_id", func(b []byte, e *load.Event) []byte { return putText(b, e.SessionID) }},
	{"event_type", func(b []byte, e *load.Event) []byte { return putText(b, e.EventType) }},
	{"event_time", func(b []byte, e *load.Event) []byte { return putInt(b, e.EventTime) }},
	{"session_start", func(b []byte, e *load.Event) []byte { return putInt(b, e.SessionStart) }},
	{"sequence", func(b []byte, e *load.Event) []byte { return putInt(b, e.Sequence) }},
	{"account_id", func(b []byte, e *load.Event) []byte { return putText(b, e.AccountID) }},
	{"profile_id", func(b []byte, e *load.Event) []byte { return putNullable(b, e.ProfileID, putText) }},
	{"device_id", func(b []byte, e *load.Event) []byte { return putText(b, e.DeviceID) }},
	{"device", putDevice},
	{"title_id", func(b []byte, e *load.Event) []byte { return putText(b, e.TitleID) }},
	{"position_ms", func(b []byte, e *load.Event) []byte { return putInt(b, e.PositionMs) }},
	{"bitrate_kbps", func(b []byte, e *load.Event) []byte { return putNullable(b, e.BitrateKbps, putInt32) }},
	{"buffer_ms", func(b []byte, e *load.Event) []byte { return putNullable(b, e.BufferMs, putInt32) }},
	{"cdn", func(b []byte, e *load.Event) []byte { return putNullable(b, e.CDN, putText) }},
	{"country", func(b []byte, e *load.Event) []byte { return putNullable(b, e.Country, putText) }},
	{"app_version", func(b []byte, e *load.Event) []byte { return putText(b, e.AppVersion) }},
	{"ip", func(b []byte, e *load.Event) []byte { return putNullable(b, e.IP, putText) }},
	{"network_type", func(b []byte, e *load.Event) []byte { return putNullable(b, e.NetworkType, putText) }},
	{"drm", func(b []byte, e *load.Event) []byte { return putNullable(b, e.DRM, putText) }},
	{"playback_rate", func(b []byte, e *load.Event) []byte { return putNullable(b, e.PlaybackRate, putDouble) }},
	{"price", func(b []byte, e *load.Event) []byte { return putNullable(b, e.Price, putInt) }},
	{"error", func(b []byte, e *load.Event) []byte { return putNullable(b, e.Error, putError) }},
	{"tags", putTags},
	{"audio_tracks", putTracks},
	{"experiment_cells", putCells},
	{"email", func(b []byte, e *load.Event) []byte { return putNullable(b, e.Email, putText) }},
	{"cdn_pop", func(b []byte, e *load.Event) []byte { return putNullable(b, e.CDNPop, putText) }},
	{"event_date", func(b []byte, e *load.Event) []byte { return putText(b, hourOf(e)[:10]) }},
	{"event_hour", func(b []byte, e *load.Event) []byte { return putText(b, hourOf(e)[11:]) }},
	{"_hoodie_record_key", func(b []byte, e *load.Event) []byte {
		return putText(b, "session_id:"+e.SessionID+",event_id:"+e.EventID)
	}},
	{"_hoodie_partition_path", func(b []byte, e *load.Event) []byte { return putText(b, partitionPath(e)) }},
}

// hourOf returns the event's hour in UTC as "2026-11-22 08".
func hourOf(e *load.Event) string { return time.UnixMicro(e.EventTime).UTC().Format("2006-01-02 15") }

func partitionPath(e *load.Event) string {
	hour := hourOf(e)
	return "event_date=" + hour[:10] + "/event_hour=" + hour[11:]
}

func putDevice(b []byte, e *load.Event) []byte {
	b = putCount(b, kindRecord, 4)
	b = putNullable(putText(b, e.Device.Type), e.Device.Model, putText)
	return putNullable(putText(b, e.Device.OS), e.Device.OSVersion, putText)
}

func putError(b []byte, e load.PlayerError) []byte {
	b = putText(putCount(b, kindRecord, 3), e.Code)
	return putBool(putNullable(b, e.Message, putText), e.Fatal)
}

func putTags(b []byte, e *load.Event) []byte {
	tags := slices.Clone(e.Tags)
	slices.SortFunc(tags, func(x, y load.Tag) int { return strings.Compare(x.Key, y.Key) })
	b = putCount(b, kindMap, len(tags))
	for _, tag := range tags {
		b = putText(putText(b, tag.Key), tag.Value)
	}
	return b
}

func putTracks(b []byte, e *load.Event) []byte {
	b = putCount(b, kindList, len(e.AudioTracks))
	for _, track := range e.AudioTracks {
		b = putText(b, track)
	}
	return b
}

func putCells(b []byte, e *load.Event) []byte {
	b = putCount(b, kindList, len(e.ExperimentCells))
	for _, cell := range e.ExperimentCells {
		b = putInt32(putText(putCount(b, kindRecord, 2), cell.Name), cell.Cell)
	}
	return b
}
