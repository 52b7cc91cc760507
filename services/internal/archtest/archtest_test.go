package archtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRepository(t *testing.T) {
	t.Parallel()
	packages := load(t, repository(t))
	if len(packages) < 20 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	for _, v := range check(t, packages) {
		t.Error(v)
	}
}

// TestEveryRuleCanFail runs the checker over a small tree that breaks each rule at least once. Its packages named good... stand on the right side
// of a rule and must pass.
func TestEveryRuleCanFail(t *testing.T) {
	t.Parallel()
	broken := make(map[string][]violation)
	for _, v := range check(t, load(t, filepath.Join("testdata", "bad"))) {
		broken[v.rule] = append(broken[v.rule], v)
		if strings.Contains(v.at, "/good") {
			t.Errorf("a good package is blamed: %s", v)
		}
	}
	rules := []string{ruleComment, rulePackageName, ruleInit}
	for _, r := range importRules {
		rules = append(rules, r.name)
	}
	for _, r := range symbolRules {
		rules = append(rules, r.name)
	}
	for _, name := range rules {
		if len(broken[name]) == 0 {
			t.Errorf("rule %s finds nothing in the tree that breaks it", name)
		}
	}
	for name := range broken {
		if !slices.Contains(rules, name) {
			t.Errorf("rule %s is unknown", name)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"~/services/router...", prefix + "/services/router", true},
		{"~/services/router...", prefix + "/services/router/internal/route", true},
		{"~/services/router", prefix + "/services/router/internal/route", false},
		{"~/services/internal/...", prefix + "/services/internal", true},
		{"~/services/internal/...", prefix + "/services/router/internal/route", false},
		{"~/.../cmd/...", prefix + "/services/router/cmd/router", true},
		{"os", "os/exec", false},
		{"os/...", "os/exec", true},
		{"net", "net/netip", false},
		{"log", "log/slog", false},
		{"github.com/aws/...", "github.com/awsx/y", false},
	} {
		if got := matches(c.path, []string{c.pattern}); got != c.want {
			t.Errorf("%s against %s: got %v", c.path, c.pattern, got)
		}
	}
}
