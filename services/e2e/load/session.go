package load

import (
	"fmt"
	"strconv"
)

// session is what the events of one playback session share.
type session struct {
	at      uint64 // Position.Session
	id      string
	start   int64
	account string
	profile Nullable[string]
	deviceI string
	device  Device
	title   string
	country Nullable[string]
	app     string
	ip      Nullable[string]
	network Nullable[string]
	drm     Nullable[string]
	email   Nullable[string]
	audio   []string
	cells   []Cell
}

var (
	devices = []Device{
		{"tv", some("OLED55C3"), "webOS", some("23.10")},
		{"phone", some("Pixel 9"), "Android", some("16")},
		{"phone", some("iPhone17,1"), "iOS", some("19.1")},
		{"desktop", Nullable[string]{}, "Linux", Nullable[string]{}},
		{"stick", some("4K \"Max\""), "FireOS", some("8")},
		{"console", some("コンソール"), "システム", some("12.0-β")},
	}
	countries = []string{"DE", "US", "BR", "JP", "IN", "FR"}
	networks  = []string{"wifi", "ethernet", "cellular"}
	drms      = []string{"widevine", "fairplay", "playready"}
	cdns      = []string{"cdn-a", "cdn-b", "edge/eu-1"}
	tracks    = []string{"en", "de", "ja-JP", "pt-BR", "audio description", "español"}
	tagKeys   = []string{"ab", "campaign", "entry point", "größe"}
)

func pick[T any](r *rng, from []T) T { return from[r.below(uint64(len(from)))] }

func maybe[T any](r *rng, percent uint64, v T) Nullable[T] {
	if r.below(100) < percent {
		return some(v)
	}
	return Nullable[T]{}
}

// session returns the session at pos, made anew when the slot has moved on.
func (g *Generator) session(source int, pos Position) *session {
	key := sessionKey{source, pos.Slot}
	s := g.sessions[key]
	if s == nil {
		s = &session{at: pos.Session + 1}
		g.sessions[key] = s
	}
	if s.at == pos.Session {
		return s
	}
	r := g.rng(forSession, source, uint64(pos.Slot)<<48|pos.Session)
	first := pos.Session*uint64(pos.Length)*uint64(g.params.Slots) + uint64(pos.Slot)
	*s = session{
		at:      pos.Session,
		id:      fmt.Sprintf("r%08x-%04x-s%03x-%06x", g.params.Run, source, pos.Slot, pos.Session),
		start:   g.params.BaseMicros + int64(first)*g.params.StepMicros,
		account: "acct-" + strconv.FormatUint(r.below(50_000), 10),
		profile: maybe(&r, 80, "profile-"+strconv.FormatUint(r.below(5), 10)),
		deviceI: "dev-" + strconv.FormatUint(r.next(), 36),
		device:  pick(&r, devices),
		title:   "title-" + strconv.FormatUint(r.below(10_000), 10),
		country: maybe(&r, 95, pick(&r, countries)),
		app:     fmt.Sprintf("%d.%d.%d", 4+r.below(3), r.below(20), r.below(100)),
		ip:      maybe(&r, 90, randomIP(&r)),
		network: maybe(&r, 90, pick(&r, networks)),
		drm:     maybe(&r, 70, pick(&r, drms)),
		email:   maybe(&r, 30, fmt.Sprintf("viewer%d@example.com", r.below(50_000))),
	}
	for i := range r.below(4) {
		s.audio = append(s.audio, tracks[i])
	}
	for i := range r.below(3) {
		s.cells = append(s.cells, Cell{Name: "exp-" + strconv.FormatUint(i, 10), Cell: int32(r.below(8)) - 1})
	}
	return s
}

func randomIP(r *rng) string {
	if r.below(4) == 0 {
		return fmt.Sprintf("2001:db8:%x:%x::%x", r.below(1<<16), r.below(1<<16), r.below(1<<16))
	}
	return fmt.Sprintf("%d.%d.%d.%d", 1+r.below(223), r.below(256), r.below(256), r.below(256))
}

// Fill sets e to event n of source as the client means it, before any Fault. Slices of e are reused and must not be kept; shared ones must
// not be changed.
func (g *Generator) Fill(e *Event, source int, n uint64) {
	pos := g.Position(source, n)
	s := g.session(source, pos)
	r := g.rng(forEvent, source, n)
	at := g.params.BaseMicros + int64(n)*g.params.StepMicros
	if r.chance(g.params.Late) {
		at -= int64(r.below(2 * 3600 * 1e6))
	}
	tags := e.Tags[:0]
	*e = Event{
		EventID: g.ID(source, n).String(), SessionID: s.id, EventType: eventType(&r, pos), EventTime: at, SessionStart: s.start,
		Sequence: int64(pos.Place), AccountID: s.account, ProfileID: s.profile, DeviceID: s.deviceI, Device: s.device, TitleID: s.title,
		PositionMs: int64(pos.Place)*10_000 + int64(r.below(10_000)), CDN: maybe(&r, 90, pick(&r, cdns)), Country: s.country,
		AppVersion: s.app, IP: s.ip, NetworkType: s.network, DRM: s.drm, AudioTracks: s.audio, ExperimentCells: s.cells, Email: s.email,
	}
	e.BitrateKbps = maybe(&r, 85, int32(200+r.below(25_000)))
	e.BufferMs = maybe(&r, 85, int32(r.below(60_000)))
	e.PlaybackRate = maybe(&r, 50, float64(r.below(16))/8)
	e.Price = maybe(&r, 10, int64(r.below(2_000_000))-1_000_000)
	for i := range r.below(4) {
		tags = append(tags, Tag{Key: tagKeys[i], Value: strconv.FormatUint(r.below(1000), 10)})
	}
	e.Tags = tags
	if e.EventType == "error" {
		e.Error = some(PlayerError{Code: "E" + strconv.FormatUint(r.below(100), 10), Message: maybe(&r, 50, "stall at segment 7"), Fatal: r.below(10) == 0})
	}
	if g.SchemaVersion(source) >= 2 {
		e.CDNPop = maybe(&r, 60, "pop-"+strconv.FormatUint(r.below(40), 10))
	}
}

// eventType makes sessions look like viewing: a start, mostly heartbeats, a stop.
func eventType(r *rng, pos Position) string {
	switch {
	case pos.Place == 0:
		return "start"
	case pos.Place == pos.Length-1:
		return "stop"
	}
	switch draw := r.below(100); {
	case draw < 70:
		return "heartbeat"
	case draw < 76:
		return "pause"
	case draw < 82:
		return "seek"
	case draw < 92:
		return "bitrate_change"
	case draw < 97:
		return "ad_start"
	default:
		return "error"
	}
}
