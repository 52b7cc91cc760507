package load

// Nullable is a value that may be null.
type Nullable[T any] struct {
	Value T
	Valid bool
}

func some[T any](v T) Nullable[T] { return Nullable[T]{Value: v, Valid: true} }

// Event is one playback event as the client means it: schema playback-event versions 1 and 2, in the order of the schema's fields, without
// the fields that the router fills. Times are microseconds since the Unix epoch.
type Event struct {
	EventID      string
	SessionID    string
	EventType    string
	EventTime    int64
	SessionStart int64
	Sequence     int64

	AccountID string
	ProfileID Nullable[string]
	DeviceID  string
	Device    Device
	TitleID   string

	PositionMs   int64
	BitrateKbps  Nullable[int32]
	BufferMs     Nullable[int32]
	CDN          Nullable[string]
	Country      Nullable[string]
	AppVersion   string
	IP           Nullable[string]
	NetworkType  Nullable[string]
	DRM          Nullable[string]
	PlaybackRate Nullable[float64]
	Price        Nullable[int64] // decimal(18,4), unscaled

	Error           Nullable[PlayerError]
	Tags            []Tag
	AudioTracks     []string
	ExperimentCells []Cell
	Email           Nullable[string]
	CDNPop          Nullable[string] // schema version 2 only
}

// Device is the record "device".
type Device struct {
	Type      string
	Model     Nullable[string]
	OS        string
	OSVersion Nullable[string]
}

// PlayerError is the record "error".
type PlayerError struct {
	Code    string
	Message Nullable[string]
	Fatal   bool
}

// Tag is one entry of the map "tags".
type Tag struct{ Key, Value string }

// Cell is one element of the array "experiment_cells".
type Cell struct {
	Name string
	Cell int32
}
