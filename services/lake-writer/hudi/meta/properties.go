// Package meta owns what the files under .hoodie hold: hoodie.properties, commit metadata, partition metafiles, rollback plans and
// results, markers, and the library's own table description. It turns bytes into values and back; when and where they are written is
// the business of package hudi.
package meta

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Where the table's properties lie, and the copy that a change leaves for the time it takes (HoodieTableConfig).
const (
	PropertiesKey       = ".hoodie/hoodie.properties"
	PropertiesBackupKey = ".hoodie/hoodie.properties.backup"
)

// Keys of hoodie.properties.
const (
	TableName                  = "hoodie.table.name"
	DatabaseName               = "hoodie.database.name"
	TableType                  = "hoodie.table.type"
	TableVersion               = "hoodie.table.version"
	InitialVersion             = "hoodie.table.initial.version" // the version that a table of version 8 or later was created with
	TimelineLayout             = "hoodie.timeline.layout.version"
	TimelinePath               = "hoodie.timeline.path"         // in .hoodie, from version 8 on
	HistoryPath                = "hoodie.timeline.history.path" // in the timeline's folder, from version 8 on
	TimelineTimezone           = "hoodie.table.timeline.timezone"
	ArchiveFolder              = "hoodie.archivelog.folder"
	RecordKeyFields            = "hoodie.table.recordkey.fields"
	PartitionFields            = "hoodie.table.partition.fields"
	PrecombineField            = "hoodie.table.precombine.field"
	OrderingFields             = "hoodie.table.ordering.fields" // what Hudi 1.2 writes for PrecombineField, in version 6 too
	KeyGeneratorClass          = "hoodie.table.keygenerator.class"
	KeyGeneratorType           = "hoodie.table.keygenerator.type" // what Hudi 1.2 writes for KeyGeneratorClass, in version 6 too
	HiveStyle                  = "hoodie.datasource.write.hive_style_partitioning"
	URLEncode                  = "hoodie.datasource.write.partitionpath.urlencode"
	TimeUnit                   = "hoodie.keygen.timebased.timestamp.type" // of a partition field that is a time
	TimePattern                = "hoodie.keygen.timebased.output.dateformat"
	TimeZone                   = "hoodie.keygen.timebased.timezone"
	TimeOutputZone             = "hoodie.keygen.timebased.output.timezone" // wins over TimeZone
	DropPartitionColumns       = "hoodie.datasource.write.drop.partition.columns"
	CreateSchema               = "hoodie.table.create.schema"
	PopulateMetaFields         = "hoodie.populate.meta.fields"
	BaseFileFormat             = "hoodie.table.base.file.format"
	TableFormat                = "hoodie.table.format"
	PayloadClass               = "hoodie.compaction.payload.class"
	MergeMode                  = "hoodie.record.merge.mode" // from table version 8 on
	MergerStrategy             = "hoodie.compaction.record.merger.strategy"
	PartialUpdateMode          = "hoodie.table.partial.update.mode" // from table version 9 on
	CDCEnabled                 = "hoodie.table.cdc.enabled"
	BootstrapBasePath          = "hoodie.bootstrap.base.path"
	MetafileBaseFormat         = "hoodie.partition.metafile.use.base.format"
	MetadataPartitions         = "hoodie.table.metadata.partitions"
	MetadataPartitionsInflight = "hoodie.table.metadata.partitions.inflight"
	Checksum                   = "hoodie.table.checksum"
)

// Properties is the content of a java.util.Properties file.
type Properties map[string]string

var (
	// ErrProperties: a text is no properties file.
	ErrProperties = errors.New("malformed properties")
	// ErrChecksum: hoodie.table.checksum is not that of the table's name. Hudi takes such a file as half written.
	ErrChecksum = errors.New("wrong " + Checksum)
)

// First is the value of the first of the keys that is set and not empty, for keys with two spellings.
func (p Properties) First(keys ...string) string {
	for _, k := range keys {
		if v := p[k]; v != "" {
			return v
		}
	}
	return ""
}

// List is a comma list as its elements; nil when it is unset or empty.
func (p Properties) List(keys ...string) []string {
	v := p.First(keys...)
	if v == "" {
		return nil
	}
	elements := strings.Split(v, ",")
	for i := range elements {
		elements[i] = strings.TrimSpace(elements[i])
	}
	return elements
}

// TableChecksum is the value of hoodie.table.checksum: CRC-32 (IEEE) of "<database>.<table>", whose database may be empty
// (HoodieTableConfig.generateChecksum).
func (p Properties) TableChecksum() string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(p[DatabaseName]+"."+p[TableName]))), 10)
}

// CheckTable verifies the checksum as Hudi does: a missing one is accepted.
func (p Properties) CheckTable() error {
	if sum, ok := p[Checksum]; ok && sum != p.TableChecksum() {
		return fmt.Errorf("%s for %s.%s, want %s: %w", sum, p[DatabaseName], p[TableName], p.TableChecksum(), ErrChecksum)
	}
	return nil
}

// Encode writes the file as HoodieTableConfig does: two comment lines (headline and time), then the keys in order, ISO-8859-1 with
// escapes.
func (p Properties) Encode(headline string, at time.Time) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "#%s %s\n#%s\n", headline, at.UTC().Format("2006-01-02T15:04:05.000Z"), javaDate(at))
	for _, k := range slices.Sorted(maps.Keys(p)) {
		escape(&b, k, true)
		b.WriteByte('=')
		escape(&b, p[k], false)
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// javaDate is java.util.Date's text, in UTC.
func javaDate(at time.Time) string { return at.UTC().Format("Mon Jan 02 15:04:05 UTC 2006") }

// escape writes a key or value as Properties.store: in a key every blank is escaped, in a value only the first.
func escape(b *strings.Builder, s string, key bool) {
	for i, r := range s {
		switch {
		case r == ' ' && (key || i == 0):
			b.WriteString(`\ `)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '=' || r == ':' || r == '#' || r == '!' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
}

// ParseProperties reads a properties file as java.util.Properties does: comments, continuation lines, separators "=", ":" and blanks,
// escapes. Bytes above 0x7f are ISO-8859-1.
func ParseProperties(data []byte) (Properties, error) {
	p := make(Properties)
	lines := strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		key, value := split(line)
		k, err := unescape(key)
		if err != nil {
			return nil, err
		}
		v, err := unescape(value)
		if err != nil {
			return nil, err
		}
		p[k] = v
	}
	return p, nil
}

// continues reports whether the line ends in an odd number of backslashes.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// split cuts a line at its first separator that is not escaped: blanks, at most one "=" or ":", blanks.
func split(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return line[:end], value
}

func unescape(s string) (string, error) {
	units := make([]uint16, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' {
			units = append(units, uint16(c)) // ISO-8859-1
			continue
		}
		i++
		if i == len(s) { // Properties drops a lone backslash at the end
			break
		}
		switch s[i] {
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		case 'u':
			if i+4 >= len(s) {
				return "", fmt.Errorf("escape at the end of %q: %w", s, ErrProperties)
			}
			unit, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf("escape %q: %w", s[i-1:i+5], ErrProperties)
			}
			units = append(units, uint16(unit))
			i += 4
		default:
			units = append(units, uint16(s[i]))
		}
	}
	text := string(utf16.Decode(units))
	if strings.ContainsRune(text, utf8.RuneError) { // half of a surrogate pair
		return "", fmt.Errorf("%q is no text: %w", s, ErrProperties)
	}
	return text, nil
}
