package fileslice

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// LogFile is a log file by its name .<fileId>_<instant>.log.<version>_<token>, with where it lies (HoodieLogFile).
type LogFile struct {
	Partition string // path relative to the table, "" when it is not partitioned
	FileID    string
	// Instant is the instant of the slice's base file, or of the compaction that is to write it, in tables up to version 6; from version 8
	// on the instant of the commit that wrote the log.
	Instant timeline.Instant
	Version int
	Token   Token
	Size    int64 // bytes
}

// ErrLogName: a text is no log file's name.
var ErrLogName = errors.New("not the name of a log file")

const logMark = ".log."

// Name is the file's name without its partition.
func (f LogFile) Name() string {
	return "." + f.FileID + "_" + string(f.Instant) + logMark + strconv.Itoa(f.Version) + "_" + f.Token.String()
}

// Key is the file's storage key.
func (f LogFile) Key() string { return path.Join(f.Partition, f.Name()) }

// ParseLogName reads the name of a log file. Logs of change data capture (.cdc) are none: they add nothing to a slice.
func ParseLogName(name string) (LogFile, error) {
	group, rest, _ := strings.Cut(strings.TrimPrefix(name, "."), logMark)
	id, instant, _ := strings.Cut(group, "_")
	version, token, _ := strings.Cut(rest, "_")
	at, instantErr := timeline.ParseInstant(instant)
	n, versionErr := strconv.Atoi(version)
	parsed, ok := parseToken(token)
	f := LogFile{FileID: id, Instant: at, Version: n, Token: parsed}
	if instantErr != nil || versionErr != nil || n < 1 || !ok || !plain(id) || f.Name() != name { // the last refuses leading zeros
		return LogFile{}, fmt.Errorf("%q: %w", name, ErrLogName)
	}
	return f, nil
}

// ParseLogKey reads a log file's storage key.
func ParseLogKey(key string) (LogFile, error) {
	dir, name := path.Split(key)
	f, err := ParseLogName(name)
	if err != nil {
		return LogFile{}, err
	}
	f.Partition = strings.TrimSuffix(dir, "/")
	if f.Key() != key {
		return LogFile{}, fmt.Errorf("%q: %w", key, ErrLogName)
	}
	return f, nil
}

// compareLogs is the order in which logs of a slice are merged: by instant, version and token (HoodieLogFile.LogFileComparator).
func compareLogs(a, b LogFile) int {
	return cmp.Or(
		cmp.Compare(a.Instant, b.Instant), cmp.Compare(a.Version, b.Version), strings.Compare(a.Token.String(), b.Token.String()),
	)
}
