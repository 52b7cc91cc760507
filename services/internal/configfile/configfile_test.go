package configfile_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

type config struct {
	Listen   listen                `yaml:"listen" doc:"Listeners."`
	Name     string                `yaml:"name" doc:"Name of the instance."`
	Level    slog.Level            `yaml:"level" doc:"Log level."`
	Insecure bool                  `yaml:"insecure" doc:"Allows plaintext."`
	Wait     configfile.Duration   `yaml:"wait" doc:"Longest wait."`
	Budget   configfile.Size       `yaml:"budget" doc:"Memory | bytes."`
	Small    int8                  `yaml:"small" doc:"A small number."`
	Port     uint16                `yaml:"port" doc:"Port."`
	Ratio    float64               `yaml:"ratio" doc:"Ratio."`
	Key      configfile.SecretFile `yaml:"key_file" doc:"File with the key."`
	Brokers  []string              `yaml:"brokers" doc:"Brokers."`
	Routes   []route               `yaml:"routes" doc:"Routes."`
	Tenants  map[string]quota      `yaml:"tenants" doc:"Quotas by tenant."`
	Optional *quota                `yaml:"optional" doc:"Quota of all."`
	Flag     *bool                 `yaml:"flag" doc:"Three states."`
	Internal string                `yaml:"-"`

	unexported string
}

type listen struct {
	Admin string `yaml:"admin" doc:"Admin address."`
	Debug string `yaml:"debug" doc:"Debug address."`
}

type route struct {
	Schema string `yaml:"schema" doc:"Schema name."`
	Topic  string `yaml:"topic" doc:"Topic."`
}

type quota struct {
	PerSecond int `yaml:"per_second" doc:"Events per second."`
}

func (c *config) Validate(r *configfile.Report) {
	if c.Name == "" {
		r.Errorf("name", "is needed")
	}
	if c.Listen.Admin == c.Listen.Debug {
		r.Errorf("listen.debug", "is the same as listen.admin")
	}
	seen := map[string]bool{}
	for i, route := range c.Routes {
		if seen[route.Topic] {
			r.Errorf("routes["+string(rune('0'+i))+"].topic", "%s is there twice", route.Topic)
		}
		seen[route.Topic] = true
	}
}

// Validate has a value receiver here and is called for elements of lists.
func (r route) Validate(report *configfile.Report) {
	if r.Schema == "" {
		report.Errorf("schema", "is needed")
	}
}

// Validate has a pointer receiver here and is called for elements of maps, which have no address, and through pointers.
func (q *quota) Validate(r *configfile.Report) {
	if q.PerSecond < 1 {
		r.Errorf("per_second", "must be at least 1")
	}
}

func defaults() config {
	return config{
		Listen: listen{Admin: "127.0.0.1:9090", Debug: "127.0.0.1:9100"}, Name: "one", Wait: configfile.Duration(5 * time.Millisecond), Budget: 64 << 20,
		Brokers: []string{"127.0.0.1:9092"}, unexported: "kept",
	}
}

const full = `
listen: {admin: "127.0.0.1:1"}
name: two
level: warn
insecure: true
wait: 1h30m
budget: 3GiB
small: -128
port: 65535
ratio: 1
key_file: /run/secrets/key
brokers: [a:1, b:2]
routes:
  - {schema: event, topic: events}
  - schema: other
    topic: others
tenants:
  acme: {per_second: 10}
optional: {per_second: 5}
flag: false
`

func TestParseFillsEveryKind(t *testing.T) {
	t.Parallel()
	got := defaults()
	if err := configfile.Parse("f.yaml", []byte(full), &got); err != nil {
		t.Fatal(err)
	}
	no := false
	want := config{
		Listen: listen{Admin: "127.0.0.1:1", Debug: "127.0.0.1:9100"}, // the key that is absent keeps its default
		Name:   "two", Level: slog.LevelWarn, Insecure: true, Wait: configfile.Duration(90 * time.Minute), Budget: 3 << 30,
		Small: -128, Port: 65535, Ratio: 1, Key: "/run/secrets/key", Brokers: []string{"a:1", "b:2"},
		Routes:  []route{{"event", "events"}, {"other", "others"}},
		Tenants: map[string]quota{"acme": {10}}, Optional: &quota{5}, Flag: &no, unexported: "kept",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseKeepsDefaults(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "null": "~\n", "empty mapping": "{}", "null struct": "listen:\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := defaults()
			if err := configfile.Parse("f.yaml", []byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, defaults()) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestParseReportsEverything is the promise of the package: one run tells all that is wrong, in the order of lines.
func TestParseReportsEverything(t *testing.T) {
	t.Parallel()
	text := `listen:
  admin: "127.0.0.1:1"
  debug: "127.0.0.1:1"
brokrs: [a:1]
small: 128
port: -1
wait: 5
budget: 64M
name: ""
name: again
insecure: "yes"
ratio: much
level: [info]
routes:
  - topic: events
  - {schema: s, topic: events}
  - schema: 7
tenants:
  acme: {per_second: 0, burst: 1}
brokers: a:1
`
	want := strings.TrimSpace(`
f.yaml:3: listen.debug: is the same as listen.admin
f.yaml:4: brokrs: unknown key (did you mean brokers?)
f.yaml:5: small: expected integer of 8 bits, found number "128"
f.yaml:6: port: expected integer of 16 bits, found number "-1"
f.yaml:7: wait: "5" is not a duration with a unit, like 5ms, 10s or 1h30m
f.yaml:8: budget: "64M" is not a size with a unit, like 512B, 64KiB, 8MiB or 2GiB
f.yaml:10: name: duplicate key, first in line 9
f.yaml:11: insecure: expected boolean, found text "yes"
f.yaml:12: ratio: expected number, found text "much"
f.yaml:13: level: expected text, found a list
f.yaml:15: routes[0].schema: is needed
f.yaml:16: routes[1].topic: events is there twice
f.yaml:17: routes[2].schema: expected text, found number "7"
f.yaml:19: tenants.acme.burst: unknown key
f.yaml:19: tenants.acme.per_second: must be at least 1
f.yaml:20: brokers: expected a list, found text "a:1"
`)
	cfg := defaults()
	err := configfile.Parse("f.yaml", []byte(text), &cfg)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, ok := errors.AsType[lifecycle.UsageError](err); !ok {
		t.Error("not a usage error")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"alias":               {"name: &a x\nlisten: {admin: *a}", "f.yaml:1: name: anchors and aliases are not allowed\nf.yaml:2: listen.admin: anchors and aliases are not allowed"},
		"merge key":           {"listen: {<<: {admin: x}}", "f.yaml:1: listen: merge keys (<<) are not allowed"},
		"key that is a list":  {"[a]: b", "f.yaml:1: expected a plain key, found a list"},
		"two documents":       {"name: a\n---\nname: b", "f.yaml: not YAML: more than one YAML document"},
		"list as root":        {"- a", "f.yaml:1: expected a mapping, found a list"},
		"broken syntax":       {"name: a\n  b: [", "f.yaml:2: not YAML: mapping values are not allowed in this context"},
		"null text":           {"name:", "f.yaml:1: name: expected text, found nothing"},
		"null in list":        {"brokers: [~]", "f.yaml:1: brokers[0]: expected text, found nothing"},
		"date as text":        {"name: 2026-11-22", `f.yaml:1: name: expected text, found date (quote it to make it text) "2026-11-22"`},
		"custom tag":          {"name: !secret x", `f.yaml:1: name: expected text, found a value with tag "!secret"`},
		"validation of unset": {"routes: [{topic: a}]", "f.yaml:1: routes[0].schema: is needed"},
		"long value":          {"small: " + strings.Repeat("x", 100), "f.yaml:1: small: expected integer of 8 bits, found text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := defaults()
			err := configfile.Parse("f.yaml", []byte(c.text), &cfg)
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestBadConfigStructPanics(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{
		"no pointer":        config{},
		"field with no key": &struct{ Name string }{},
		"tag option": &struct {
			Name string `yaml:"name,omitempty"`
		}{},
		"time.Duration": &struct {
			Name time.Duration `yaml:"name"`
		}{},
		"map by number": &struct {
			Name map[int]string `yaml:"name"`
		}{},
		"channel": &struct {
			Name chan int `yaml:"name"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = configfile.Parse("f.yaml", []byte("name: {}"), into)
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte("name: from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := defaults()
	if err := configfile.Load(path, &cfg); err != nil || cfg.Name != "from file" {
		t.Errorf("got %q, %v", cfg.Name, err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("# filler\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", filepath.Join(dir, "missing.yaml"), dir, big} {
		err := configfile.Load(path, &cfg)
		if _, ok := errors.AsType[*configfile.Error](err); !ok {
			t.Errorf("load %q: got %v, want a *configfile.Error", path, err)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := defaults()
	if configfile.Digest(base) != configfile.Digest(&base) {
		t.Error("digest of a pointer differs from that of its value")
	}
	changes := map[string]func(*config){
		"scalar":      func(c *config) { c.Small = 1 },
		"text value":  func(c *config) { c.Wait++ },
		"nested":      func(c *config) { c.Listen.Admin = "x" },
		"list":        func(c *config) { c.Brokers = []string{"127.0.0.1:9092", ""} },
		"empty list":  func(c *config) { c.Brokers = nil },
		"map":         func(c *config) { c.Tenants = map[string]quota{"a": {1}} },
		"other key":   func(c *config) { c.Tenants = map[string]quota{"b": {1}} },
		"pointer":     func(c *config) { c.Optional = &quota{} },
		"line breaks": func(c *config) { c.Name = "one\nsmall=\"1\"" },
		"secret path": func(c *config) { c.Key = "/other" },
	}
	seen := map[string]string{configfile.Digest(base): "base"}
	for name, change := range changes {
		c := defaults()
		change(&c)
		d := configfile.Digest(c)
		if other, twice := seen[d]; twice {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
	c := defaults()
	c.Internal, c.unexported = "changed", "changed"
	if configfile.Digest(c) != configfile.Digest(base) {
		t.Error("a field that is no key changed the digest")
	}
}

func TestDigestLeavesSecretsOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	digest := func(secret string) string {
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		return configfile.Digest(config{Key: configfile.SecretFile(path)})
	}
	if digest("one") != digest("two") {
		t.Error("the digest depends on a secret")
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.Routes = []route{{Schema: "event"}}
	want := strings.TrimLeft(`
| Key | Type | Default | Meaning |
|---|---|---|---|
| `+"`listen`"+` | mapping |  | Listeners. |
| `+"`listen.admin`"+` | text | `+"`127.0.0.1:9090`"+` | Admin address. |
| `+"`listen.debug`"+` | text | `+"`127.0.0.1:9100`"+` | Debug address. |
| `+"`name`"+` | text | `+"`one`"+` | Name of the instance. |
| `+"`level`"+` | text | `+"`INFO`"+` | Log level. |
| `+"`insecure`"+` | boolean | `+"`false`"+` | Allows plaintext. |
| `+"`wait`"+` | duration | `+"`5ms`"+` | Longest wait. |
| `+"`budget`"+` | size | `+"`64MiB`"+` | Memory \| bytes. |
| `+"`small`"+` | integer | `+"`0`"+` | A small number. |
| `+"`port`"+` | integer | `+"`0`"+` | Port. |
| `+"`ratio`"+` | number | `+"`0`"+` | Ratio. |
| `+"`key_file`"+` | file |  | File with the key. |
| `+"`brokers`"+` | list of text | `+"`[127.0.0.1:9092]`"+` | Brokers. |
| `+"`routes`"+` | list of mapping | `+"`[{schema: event}]`"+` | Routes. |
| `+"`routes[].schema`"+` | text |  | Schema name. |
| `+"`routes[].topic`"+` | text |  | Topic. |
| `+"`tenants`"+` | mapping of names to mapping |  | Quotas by tenant. |
| `+"`tenants.NAME.per_second`"+` | integer | `+"`0`"+` | Events per second. |
| `+"`optional`"+` | mapping |  | Quota of all. |
| `+"`optional.per_second`"+` | integer | `+"`0`"+` | Events per second. |
| `+"`flag`"+` | boolean |  | Three states. |
`, "\n")
	if got := configfile.Reference(cfg); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// FuzzParse: no input makes Parse panic; what it accepts, it accepts again to the same value; every problem names the file and a line of it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{full, "", "a: b", "name: &a x\nlisten: {admin: *a}", "listen: {<<: {}}", "? [a]\n: b", "routes: [{}, ~, x]", "tenants: {a: ~}", "optional: ~", "\t", "--- a\n--- b", "small: 0x7f", "ratio: .nan", "level: !!binary aGk="} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second config
		err := configfile.Parse("f.yaml", data, &first)
		if err != nil {
			e, ok := errors.AsType[*configfile.Error](err)
			if !ok || len(e.Problems) == 0 {
				t.Fatalf("error without problems: %v", err)
			}
			lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
			for _, p := range e.Problems {
				if p.File != "f.yaml" || p.Line < 0 || p.Line > lines || p.Message == "" {
					t.Fatalf("bad problem %+v of %d lines", p, lines)
				}
			}
			return
		}
		if err := configfile.Parse("f.yaml", data, &second); err != nil || configfile.Digest(first) != configfile.Digest(second) {
			t.Fatalf("second parse differs: %v", err)
		}
	})
}
