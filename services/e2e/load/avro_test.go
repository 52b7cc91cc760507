package load

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
)

// schemaText returns version v of the shipped schema, read as a file: the generator is judged by what producers are given.
func schemaText(t *testing.T, v int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("../../../schemas/playback/playback_event/v%d.avsc", v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The hand-written encoding must be what an Avro library makes of the schema: nothing may be left over or missing, and the values must be
// those of the event's JSON.
func TestAvroFollowsTheSchemas(t *testing.T) {
	t.Parallel()
	g := NewGenerator(testParams())
	for version := 1; version <= 2; version++ {
		schema, err := avro.ParseWithCache(schemaText(t, version), "", new(avro.SchemaCache))
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(2000) {
			var e Event
			g.Fill(&e, 2, n)
			body := append(appendAvro(nil, &e, version), appendText(nil, "the end")...)
			reader := avro.NewReader(nil, 0).Reset(body)
			var decoded map[string]any
			reader.ReadVal(schema, &decoded)
			if end := reader.ReadString(); reader.Error != nil || end != "the end" {
				t.Fatalf("version %d event %d: %v, then %q", version, n, reader.Error, end)
			}
			var object map[string]any
			if err := json.Unmarshal(appendJSON(nil, &e, version), &object); err != nil {
				t.Fatal(err)
			}
			for name, value := range object {
				if got, want := plain(decoded[name]), plain(value); got != want {
					t.Fatalf("version %d event %d: %s is %s in Avro and %s in JSON", version, n, name, got, want)
				}
				delete(decoded, name)
			}
			for name, value := range decoded {
				if value != nil {
					t.Fatalf("version %d event %d: %s is %v in Avro and absent in JSON", version, n, name, value)
				}
			}
		}
	}
}

// plain prints a decoded value so that the two decoders' types do not matter: both print numbers, times and nulls alike.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case time.Time:
		return strconv.FormatInt(v.UnixMicro(), 10)
	case *big.Rat:
		f, _ := v.Float64()
		return plain(f)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any:
		var parts []string
		for name, value := range v {
			// A union of a record is decoded as {"full.name": record}.
			if strings.Contains(name, ".") && len(v) == 1 {
				return plain(value)
			}
			if value != nil {
				parts = append(parts, name+":"+plain(value))
			}
		}
		slices.Sort(parts)
		return fmt.Sprint(parts)
	case []any:
		var parts []string
		for _, value := range v {
			parts = append(parts, plain(value))
		}
		return fmt.Sprint(parts)
	default:
		return fmt.Sprint(v)
	}
}
