package mdt

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// Names of a metadata table's files have instants that are no times of the calendar (00000000000000010; a data instant followed by 001),
// which packages fileslice and timeline rightly refuse. So they are read here.
var (
	baseName = regexp.MustCompile(`^([^_.]+)_(\d+-\d+-\d+)_(\d{14,20})\.hfile$`)
	logName  = regexp.MustCompile(`^\.([^_.]+)_(\d{14,20})\.log\.(\d{1,9})_(\d+-\d+-\d+)$`)
)

// dataFile is a base or log file of a metadata partition by its name.
type dataFile struct {
	key     string
	size    int64
	group   string // file id
	instant string
	log     bool
	version int // of a log
	token   string
}

func parseDataFile(key string, size int64) (dataFile, bool) {
	f := dataFile{key: key, size: size}
	name := key[strings.LastIndexByte(key, '/')+1:]
	if m := baseName.FindStringSubmatch(name); m != nil {
		f.group, f.token, f.instant = m[1], m[2], m[3]
		return f, true
	}
	m := logName.FindStringSubmatch(name)
	if m == nil {
		return dataFile{}, false
	}
	f.log, f.group, f.instant, f.token = true, m[1], m[2], m[4]
	f.version, _ = strconv.Atoi(m[3]) // up to nine digits
	return f, true
}

// compareLogs is the order in which the logs of a slice are merged (HoodieLogFile.LogFileComparator).
func compareLogs(a, b dataFile) int {
	return cmp.Or(cmp.Compare(a.instant, b.instant), cmp.Compare(a.version, b.version), cmp.Compare(a.token, b.token))
}
