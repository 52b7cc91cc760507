package archtest

// importRule forbids imports. In patterns "~" stands for the module prefix of this repository and "..." for anything.
type importRule struct {
	name string
	// from are the packages that the rule binds, but for those in except.
	from, except []string
	// to are the packages that they must not import, but for those in allow.
	to, allow []string
	// deep also forbids what comes through other packages. It is of no use for the standard library, where fmt imports os.
	deep bool
	// tests also binds test files.
	tests  bool
	reason string
}

// pure are the packages that decide without touching the world, so that they can be tested with tables and fuzzed.
var pure = []string{
	"~/schemas/annotation",
	"~/services/ingest-gateway/internal/frame",
	"~/services/ingest-gateway/internal/admit",
	"~/services/ingest-gateway/internal/window",
	"~/services/router/internal/mask",
	"~/services/router/internal/route",
	"~/services/router/internal/validate",
	"~/services/router/internal/transcode",
	"~/services/lake-writer/internal/buffer",
	"~/services/lake-writer/internal/convert",
	"~/services/lake-writer/hudi/timeline",
	"~/services/lake-writer/hudi/fileslice",
	"~/services/lake-writer/hudi/keys",
	"~/services/lake-writer/hudi/meta",
	"~/services/internal/avroscan",
}

var (
	kafkaLibraries = []string{"github.com/IBM/sarama...", "github.com/twmb/franz-go..."}
	rpcLibraries   = []string{"google.golang.org/grpc..."}
	cloudLibraries = []string{"github.com/aws/..."}
)

var importRules = []importRule{
	{
		name: "contracts-stand-alone", from: []string{"~/proto/...", "~/schemas..."}, to: []string{"~/services/..."}, deep: true, tests: true,
		reason: "contracts are what others build on, also outside this repository",
	},
	{
		name: "contracts-stand-apart", from: []string{"~/proto/..."}, to: []string{"~/schemas..."}, deep: true, tests: true,
		reason: "wire contracts and event contracts change for different reasons",
	},
	{
		name: "plumbing-knows-no-domain", from: []string{"~/services/internal/..."},
		to:   []string{"~/services/ingest-gateway...", "~/services/router...", "~/services/lake-writer...", "~/services/e2e...", "~/schemas..."},
		deep: true, tests: true,
		reason: "what two services share must not lean on one of them",
	},
	{
		name: "plumbing-speaks-control-only", from: []string{"~/services/internal/..."},
		// The package at the module's root only pins requirements.
		except: []string{"~/services/internal", "~/services/internal/control", "~/services/internal/rpcserver", "~/services/internal/apierr"},
		to:     []string{"~/proto/..."},
		reason: "data contracts belong to the services that speak them",
	},
	{
		name: "gateway-imports-no-service", from: []string{"~/services/ingest-gateway..."},
		to: []string{"~/services/router...", "~/services/lake-writer...", "~/services/e2e..."}, deep: true, tests: true,
		reason: "services meet in proto and schemas only",
	},
	{
		name: "router-imports-no-service", from: []string{"~/services/router..."},
		to: []string{"~/services/ingest-gateway...", "~/services/lake-writer...", "~/services/e2e..."}, deep: true, tests: true,
		reason: "services meet in proto and schemas only",
	},
	{
		name: "lakewriter-imports-no-service", from: []string{"~/services/lake-writer..."},
		to: []string{"~/services/ingest-gateway...", "~/services/router...", "~/services/e2e..."}, deep: true, tests: true,
		reason: "services meet in proto and schemas only",
	},
	{
		name: "root-package-is-the-top",
		from: []string{"~/services/ingest-gateway/internal/...", "~/services/router/internal/...", "~/services/lake-writer/internal/..."},
		to:   []string{"~/services/ingest-gateway", "~/services/router", "~/services/lake-writer"}, tests: true,
		reason: "the root package wires the others; only cmd and e2e import it",
	},
	{
		name: "hudi-stands-alone", from: []string{"~/services/lake-writer/hudi..."}, to: []string{"~/..."}, allow: []string{"~/services/lake-writer/hudi..."},
		deep: true, tests: true,
		reason: "the table library is for anybody",
	},
	{
		name: "hudi-is-silent", from: []string{"~/services/lake-writer/hudi..."}, to: []string{"log", "log/slog"},
		reason: "a library reports through results and events, the program decides what is logged",
	},
	{
		name: "hudi-has-no-services", from: []string{"~/services/lake-writer/hudi..."},
		to:   concat(kafkaLibraries, rpcLibraries, cloudLibraries, []string{"github.com/prometheus/..."}),
		deep: true, tests: true,
		reason: "stores and metrics come in through the library's own interfaces",
	},
	{
		name: "pure-packages-touch-nothing", from: pure,
		to:     []string{"net", "net/http...", "os", "os/...", "math/rand", "crypto/rand", "log/slog"},
		reason: "a pure package gets clock, randomness and bytes from its caller",
	},
	{
		name: "pure-packages-know-no-protocol", from: pure, to: concat(kafkaLibraries, rpcLibraries, cloudLibraries), deep: true,
		reason: "a pure package can be tested without a server",
	},
	{
		name: "judges-use-the-wire",
		from: []string{"~/services/e2e/load...", "~/services/e2e/model...", "~/services/e2e/peers...", "~/services/e2e/bitmap..."},
		to:   []string{"~/services/ingest-gateway...", "~/services/router...", "~/services/lake-writer..."}, allow: []string{"~/services/lake-writer/hudi..."},
		deep: true, tests: true,
		reason: "what judges a deployment must not share code with what is judged; the table library reads the table",
	},
	{
		name: "engines-are-the-judges", from: []string{"~/services/e2e/interop..."}, to: []string{"~/services/ingest-gateway...", "~/services/router..."},
		deep: true, tests: true,
		reason: "what was sent is known without the services; other engines judge tables, also those written through the lake-writer's S3 store",
	},
	{
		name: "no-ready-made-registration", from: []string{"~/..."}, to: []string{"github.com/prometheus/client_golang/prometheus/promauto"}, tests: true,
		reason: "promauto registers in a global registry; constructors take a Registerer",
	},
}

// symbolRule forbids the use of names of other packages.
type symbolRule struct {
	name string
	// symbols are "import/path.Name"; "import/path.*" stands for the import itself.
	symbols []string
	// except are the packages that may use them.
	except []string
	// only are the packages that the rule binds; none means all.
	only []string
	// tests says whether the rule binds test files, other files, or both.
	tests  where
	reason string
}

type where int

const (
	everywhere where = iota
	notInTests
	// testsOnRealTime are test files without testing/synctest, under which sleeping is virtual.
	testsOnRealTime
)

var symbolRules = []symbolRule{
	{
		name: "only-main-ends-the-process", tests: notInTests,
		symbols: []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "os/signal.Notify", "os/signal.NotifyContext", "flag.*"},
		// The processes of e2e/stack are the test binary itself in another role.
		except: []string{"~/.../cmd/...", "~/services/internal/lifecycle", "~/services/e2e/stack"},
		reason: "a package that exits, parses flags or takes signals cannot be started twice in one process",
	},
	{
		name: "no-global-registry", tests: everywhere,
		symbols: []string{
			"github.com/prometheus/client_golang/prometheus.DefaultRegisterer", "github.com/prometheus/client_golang/prometheus.DefaultGatherer",
			"github.com/prometheus/client_golang/prometheus.MustRegister", "github.com/prometheus/client_golang/prometheus.Register",
		},
		reason: "three services run in one process in e2e; each has its own registry",
	},
	{
		name: "no-global-logger", tests: everywhere, symbols: []string{"log/slog.Default", "log/slog.SetDefault", "log/slog.Info", "log/slog.Warn", "log/slog.Error"},
		reason: "the logger is a parameter",
	},
	{
		name: "no-sleeping-tests", tests: testsOnRealTime, symbols: []string{"time.Sleep"},
		reason: "a sleep is too short on a slow machine and too long on a fast one: wait for the condition, or use testing/synctest",
	},
	{
		name: "pure-packages-read-no-clock", tests: notInTests, only: pure, symbols: []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.NewTimer", "time.NewTicker"},
		reason: "a pure package gets the time from its caller",
	},
}

// Names of the rules that are code in check_test.go.
const (
	ruleComment     = "one-package-comment"
	rulePackageName = "package-name-says-something"
	ruleInit        = "no-init"
)

// vagueNames are package names that take everything and tell nothing.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "base", "types", "models", "model_types", "misc", "shared"}

func concat(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
