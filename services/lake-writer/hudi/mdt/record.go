package mdt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hamba/avro/v2"
)

// fileInfo is what a record says of one file, or of one partition in the list of partitions (HoodieMetadataFileInfo).
type fileInfo struct {
	size    int64
	deleted bool
}

// Types of a record (MetadataPartitionType).
const (
	typePartitions = 1
	typeFiles      = 2
)

// record is what this package takes of a HoodieMetadataRecord. Its key is outside: writers empty the field.
type record struct {
	kind  int64
	files map[string]fileInfo
}

// recordSchema is a parsed schema of HoodieMetadataRecord. It differs between releases, so every file and block brings its own.
type recordSchema struct{ fields []*avro.Field }

func parseRecordSchema(text string) (*recordSchema, error) {
	// A cache of its own: the library's default one is global and would mix up schemas of the same name.
	s, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parse the schema of metadata records: %w", err)
	}
	r, ok := s.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("parse the schema of metadata records: a %s is no record", s.Type())
	}
	return &recordSchema{fields: r.Fields()}, nil
}

var (
	errDatum = errors.New("malformed Avro datum")
	errShape = errors.New("the schema is not that of metadata records")
)

// decode reads a datum to its last byte. Memory is bounded by the datum's length.
func (s *recordSchema) decode(datum []byte) (record, error) {
	c := cursor{rest: datum, budget: 64*len(datum) + 64*len(s.fields) + 1024}
	var r record
	for _, f := range s.fields {
		var err error
		switch f.Name() {
		case "type":
			r.kind, err = c.number(f.Type())
		case "filesystemMetadata":
			r.files, err = c.files(f.Type())
		default:
			err = c.skip(f.Type(), 0)
		}
		if err != nil {
			return record{}, fmt.Errorf("field %s: %w", f.Name(), err)
		}
	}
	if len(c.rest) > 0 {
		return record{}, fmt.Errorf("%d bytes behind the last field: %w", len(c.rest), errDatum)
	}
	return r, nil
}

// cursor walks an Avro datum by a schema from outside. The Avro library's own decoder is not used for bytes from outside: it allocates what
// lengths in them say.
type cursor struct {
	rest   []byte
	budget int // values that may still be looked at: a schema can name a type many times over that takes no bytes
}

const maxDepth = 64 // of a schema, which may be recursive

func (c *cursor) long() (int64, error) {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		return 0, errDatum
	}
	c.rest = c.rest[n:]
	return v, nil
}

func (c *cursor) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(c.rest)) {
		return nil, errDatum
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b, nil
}

func (c *cursor) bytes() ([]byte, error) {
	n, err := c.long()
	if err != nil {
		return nil, err
	}
	return c.take(n)
}

// resolve follows references and the branch that a union's value takes.
func (c *cursor) resolve(s avro.Schema) (avro.Schema, error) {
	for range maxDepth {
		switch t := s.(type) {
		case *avro.RefSchema:
			s = t.Schema()
		case *avro.UnionSchema:
			branch, err := c.long()
			if err != nil {
				return nil, err
			}
			if branch < 0 || branch >= int64(len(t.Types())) {
				return nil, fmt.Errorf("branch %d of a union of %d: %w", branch, len(t.Types()), errDatum)
			}
			s = t.Types()[branch]
		default:
			return s, nil
		}
	}
	return nil, errShape
}

// number reads an int or a long; null is 0.
func (c *cursor) number(s avro.Schema) (int64, error) {
	s, err := c.resolve(s)
	if err != nil {
		return 0, err
	}
	switch s.Type() {
	case avro.Int, avro.Long:
		return c.long()
	case avro.Null:
		return 0, nil
	default:
		return 0, errShape
	}
}

func (c *cursor) boolean(s avro.Schema) (bool, error) {
	s, err := c.resolve(s)
	if err != nil {
		return false, err
	}
	switch s.Type() {
	case avro.Boolean:
		b, err := c.take(1)
		if err != nil || b[0] > 1 {
			return false, errDatum
		}
		return b[0] == 1, nil
	case avro.Null:
		return false, nil
	default:
		return false, errShape
	}
}

// files reads the map of names to sizes; null is nil.
func (c *cursor) files(s avro.Schema) (map[string]fileInfo, error) {
	s, err := c.resolve(s)
	if err != nil || s.Type() == avro.Null {
		return nil, err
	}
	m, ok := s.(*avro.MapSchema)
	if !ok {
		return nil, errShape
	}
	files := make(map[string]fileInfo)
	return files, c.items(func() error {
		name, err := c.bytes()
		if err != nil {
			return err
		}
		info, err := c.fileInfo(m.Values())
		files[string(name)] = info
		return err
	})
}

func (c *cursor) fileInfo(s avro.Schema) (info fileInfo, err error) {
	if s, err = c.resolve(s); err != nil {
		return info, err
	}
	r, ok := s.(*avro.RecordSchema)
	if !ok {
		return info, errShape
	}
	for _, f := range r.Fields() {
		switch f.Name() {
		case "size":
			info.size, err = c.number(f.Type())
		case "isDeleted":
			info.deleted, err = c.boolean(f.Type())
		default:
			err = c.skip(f.Type(), 0)
		}
		if err != nil {
			return info, err
		}
	}
	return info, nil
}

// items calls read for every item of an array or entry of a map.
func (c *cursor) items(read func() error) error {
	for {
		count, err := c.long()
		if err != nil || count == 0 {
			return err
		}
		if count < 0 { // the block's size in bytes follows
			count = -count
			if _, err := c.long(); err != nil {
				return err
			}
		}
		// Items of no bytes at all are not in these schemas; without them a count is bounded by the bytes left.
		if count < 0 || count > int64(len(c.rest)) {
			return fmt.Errorf("%d items in %d bytes: %w", count, len(c.rest), errDatum)
		}
		for range count {
			if err := read(); err != nil {
				return err
			}
		}
	}
}

// skip passes over a value of any type.
func (c *cursor) skip(s avro.Schema, depth int) error {
	if c.budget--; c.budget < 0 || depth > maxDepth {
		return errShape
	}
	s, err := c.resolve(s)
	if err != nil {
		return err
	}
	switch t := s.(type) {
	case *avro.RecordSchema:
		for _, f := range t.Fields() {
			if err := c.skip(f.Type(), depth+1); err != nil {
				return err
			}
		}
		return nil
	case *avro.ArraySchema:
		return c.items(func() error { return c.skip(t.Items(), depth+1) })
	case *avro.MapSchema:
		return c.items(func() error {
			if _, err := c.bytes(); err != nil {
				return err
			}
			return c.skip(t.Values(), depth+1)
		})
	case *avro.FixedSchema:
		_, err = c.take(int64(t.Size()))
		return err
	}
	switch s.Type() {
	case avro.Null:
	case avro.Boolean:
		_, err = c.take(1)
	case avro.Int, avro.Long, avro.Enum:
		_, err = c.long()
	case avro.Float:
		_, err = c.take(4)
	case avro.Double:
		_, err = c.take(8)
	case avro.Bytes, avro.String:
		_, err = c.bytes()
	default:
		err = errShape
	}
	return err
}
