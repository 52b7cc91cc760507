package load

import "strconv"

// appendJSON appends e as the JSON object that a player sends: plain values without union wrappers, nulls left out, the decimal as a number.
func appendJSON(dst []byte, e *Event, version int) []byte {
	o := object{dst: append(dst, '{')}
	o.text("event_id", e.EventID)
	o.text("session_id", e.SessionID)
	o.text("event_type", e.EventType)
	o.number("event_time", e.EventTime)
	o.number("session_start", e.SessionStart)
	o.number("sequence", e.Sequence)
	o.text("account_id", e.AccountID)
	o.maybeText("profile_id", e.ProfileID)
	o.text("device_id", e.DeviceID)
	o.open("device", '{')
	o.text("type", e.Device.Type)
	o.maybeText("model", e.Device.Model)
	o.text("os", e.Device.OS)
	o.maybeText("os_version", e.Device.OSVersion)
	o.close('}')
	o.text("title_id", e.TitleID)
	o.number("position_ms", e.PositionMs)
	o.maybeNumber("bitrate_kbps", e.BitrateKbps)
	o.maybeNumber("buffer_ms", e.BufferMs)
	o.maybeText("cdn", e.CDN)
	o.maybeText("country", e.Country)
	o.text("app_version", e.AppVersion)
	o.maybeText("ip", e.IP)
	o.maybeText("network_type", e.NetworkType)
	o.maybeText("drm", e.DRM)
	if e.PlaybackRate.Valid {
		o.name("playback_rate")
		o.dst = strconv.AppendFloat(o.dst, e.PlaybackRate.Value, 'g', -1, 64)
	}
	if e.Price.Valid {
		o.name("price")
		o.dst = appendDecimalText(o.dst, e.Price.Value)
	}
	o.error(e.Error)
	o.open("tags", '{')
	for _, tag := range e.Tags {
		o.text(tag.Key, tag.Value)
	}
	o.close('}')
	o.open("audio_tracks", '[')
	for _, track := range e.AudioTracks {
		o.element()
		o.dst = appendQuoted(o.dst, track)
	}
	o.close(']')
	o.open("experiment_cells", '[')
	for _, cell := range e.ExperimentCells {
		o.element()
		o.dst = append(o.dst, '{')
		o.text("name", cell.Name)
		o.number("cell", int64(cell.Cell))
		o.close('}')
	}
	o.close(']')
	o.maybeText("email", e.Email)
	if version >= 2 {
		o.maybeText("cdn_pop", e.CDNPop)
	}
	return append(o.dst, '}')
}

// object appends members to JSON text; a comma is due unless the text ends with an opening bracket.
type object struct{ dst []byte }

func (o *object) element() {
	if last := o.dst[len(o.dst)-1]; last != '{' && last != '[' {
		o.dst = append(o.dst, ',')
	}
}

func (o *object) name(name string) {
	o.element()
	o.dst = append(appendQuoted(o.dst, name), ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.dst = appendQuoted(o.dst, value)
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.dst = strconv.AppendInt(o.dst, value, 10)
}

func (o *object) maybeText(name string, v Nullable[string]) {
	if v.Valid {
		o.text(name, v.Value)
	}
}

func (o *object) maybeNumber(name string, v Nullable[int32]) {
	if v.Valid {
		o.number(name, int64(v.Value))
	}
}

func (o *object) open(name string, bracket byte) {
	o.name(name)
	o.dst = append(o.dst, bracket)
}

func (o *object) close(bracket byte) { o.dst = append(o.dst, bracket) }

func (o *object) error(e Nullable[PlayerError]) {
	if !e.Valid {
		return
	}
	o.open("error", '{')
	o.text("code", e.Value.Code)
	o.maybeText("message", e.Value.Message)
	o.name("fatal")
	o.dst = strconv.AppendBool(o.dst, e.Value.Fatal)
	o.close('}')
}

// appendDecimalText writes an unscaled decimal(18,4) as a JSON number.
func appendDecimalText(dst []byte, unscaled int64) []byte {
	if unscaled < 0 {
		dst, unscaled = append(dst, '-'), -unscaled
	}
	dst = strconv.AppendInt(dst, unscaled/10_000, 10)
	dst = append(dst, '.')
	fraction := strconv.FormatInt(10_000+unscaled%10_000, 10)
	return append(dst, fraction[1:]...)
}

// appendQuoted writes a JSON string (RFC 8259 section 7); other than quotes, backslashes and controls, text stays as it is.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = appendHex(append(dst, `\u`...), uint64(c), 4)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
