// Package configfile reads the YAML file of a service into its Config struct, strictly: unknown and duplicate keys, values of a wrong type or
// unit and everything that the structs' Validate methods object to are reported together, each with file, line and key path.
//
// It owns the syntax and the value types with units (Duration, Size, SecretFile). What the values mean is for the packages that own the
// structs. Defaults are whatever the struct holds before the call.
//
// A config struct tags every exported field with `yaml:"key"` (or "-") and `doc:"text"`; it may use booleans, integers, floats, strings,
// encoding.TextUnmarshaler values, structs, pointers, slices and maps with string keys. Anything else is a bug and panics. A list or map in
// the file replaces the default as a whole. Anchors, aliases and merge keys are refused: they hide which line sets a value.
package configfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

// maxFileBytes bounds a configuration file. It is far above any sensible file.
const maxFileBytes = 1 << 20

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File string
	// Line counts from 1; 0 when the problem is of the file as a whole.
	Line int
	// Key is the path of the key, like "kafka.brokers[1]"; empty for the file as a whole.
	Key     string
	Message string
}

func (p Problem) String() string {
	at := p.File
	if p.Line > 0 {
		at += ":" + strconv.Itoa(p.Line)
	}
	if p.Key != "" {
		at += ": " + p.Key
	}
	return at + ": " + p.Message
}

// Error holds everything that is wrong with a configuration file, in the order of lines. It is a lifecycle.UsageError.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

var errConfiguration = errors.New("invalid configuration")

// Unwrap makes the error one of usage, which ends a process with lifecycle.ExitUsage.
func (e *Error) Unwrap() error { return lifecycle.UsageError{Err: errConfiguration} }

// Load reads the file at path into the struct that into points to. On error the struct is partly filled and must not be used.
func Load(path string, into any) error {
	data, err := readFile(path, maxFileBytes)
	if err != nil {
		return &Error{Problems: []Problem{{File: path, Message: err.Error()}}}
	}
	return Parse(path, data, into)
}

// Parse is Load for the contents of a file; name stands for the file in errors. Empty data is an empty mapping.
func Parse(name string, data []byte, into any) error {
	root := reflect.ValueOf(into)
	if root.Kind() != reflect.Pointer || root.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("configfile: Parse into %T, want a pointer to a struct", into))
	}
	root = root.Elem()
	c := &collector{file: name}
	node, err := document(data)
	if err != nil {
		c.add(yamlLine(err), "", "%s", yamlMessage(err))
		return c.err()
	}
	d := decoder{c: c}
	if node != nil {
		d.value(node, "", root)
	}
	c.endDecoding()
	validate(c, root, scope{node: node})
	return c.err()
}

// document returns the content node of the only YAML document in data, nil when there is none.
func document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, errors.New("more than one YAML document")
	}
	if len(doc.Content) != 1 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	return doc.Content[0], nil
}

// The parser says "yaml: line 3: did not find ..." in the text only.
var yamlErrorLine = regexp.MustCompile(`^yaml: line (\d+): `)

func yamlLine(err error) int {
	m := yamlErrorLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	line, _ := strconv.Atoi(m[1])
	return line
}

func yamlMessage(err error) string {
	return "not YAML: " + strings.TrimPrefix(yamlErrorLine.ReplaceAllString(err.Error(), ""), "yaml: ")
}

// collector gathers problems.
type collector struct {
	file     string
	problems []Problem
	decoded  int // problems found before validation
}

func (c *collector) add(line int, key, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.file, Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (c *collector) endDecoding() { c.decoded = len(c.problems) }

// undecodable tells whether the value at key, or something around it, could not be read: complaints about what stands in the
// struct instead would only mislead.
func (c *collector) undecodable(key string) bool {
	return slices.ContainsFunc(c.problems[:c.decoded], func(p Problem) bool {
		return p.Key == key || within(key, p.Key) || within(p.Key, key)
	})
}

// within tells whether the key path inner lies below outer.
func within(inner, outer string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && outer != "" && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

func (c *collector) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{Problems: c.problems}
}

// readFile reads a whole file and refuses one over limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no file is named")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("file %s is over %d bytes", path, limit)
	}
	return data, nil
}
