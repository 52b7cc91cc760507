package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
)

// library measures the Hudi library. A measure checks the rows that it wrote or read, and prints only then.
type library struct {
	rounds int
	rows   int    // of files and tables
	peers  string // where peers.sh installs; "" when nobody said
	dir    string // temporary
	out    io.Writer
	stderr io.Writer

	profile  string // file for a CPU profile; "" for none
	youngAge int    // commits of the table that archive compares an old one with
}

type measure struct {
	name string
	text string
	run  func(*library, context.Context) error
	long bool // only when it is asked for
}

var measures = []measure{
	{name: "file", text: "Avro bytes to a base file, 32 columns, zstd level 1: this library, parquet-go's column writers, DuckDB's COPY", run: (*library).file},
	{name: "log", text: "records into Avro blocks and into Parquet blocks of a log", run: (*library).log},
	{name: "compact", text: compactText, run: (*library).compact},
	{name: "commit", text: "small commits", run: (*library).commit},
	{name: "snapshot", text: "reading a whole table: this library, hudi-rs", run: (*library).snapshot},
	{name: "archive", text: "a table of many commits with archiving (long: not among the defaults)", run: (*library).archive, long: true},
}

const hudiUsage = `Usage: bench hudi [options] [MEASURE] ...

Measures the CPU time of the Hudi library, that of the garbage collector and the kernel included, and its allocations, in rounds in which what is
compared takes turns; figures are medians of the rounds, and a ratio is the median of the rounds' ratios. They are printed after the rows
were counted and found right. Peers are those that scripts/peers.sh installed in $PLAYHEAD_PEERS; what is missing is "not measured".

Measures (default: all that are not long):
`

func parseHudi(args []string, stderr io.Writer) (*library, []measure, error) {
	l := &library{peers: os.Getenv("PLAYHEAD_PEERS"), stderr: stderr, youngAge: 100}
	flags := flag.NewFlagSet("bench hudi", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, hudiUsage)
		for _, m := range measures {
			fmt.Fprintf(stderr, "  %-10s %s\n", m.name, m.text)
		}
		fmt.Fprintln(stderr)
		flags.PrintDefaults()
	}
	flags.IntVar(&l.rounds, "rounds", 5, "rounds of each measure")
	flags.IntVar(&l.rows, "rows", 200_000, "rows of files and tables; log records of a compaction are up to five times, commits of archive a twentieth of it")
	flags.StringVar(&l.profile, "cpuprofile", "", "write a CPU profile of this process (not of file's) to a file")
	var wanted []measure
	take := func(name string) error {
		i := slices.IndexFunc(measures, func(m measure) bool { return m.name == name })
		if i < 0 {
			return lifecycle.UsageError{Err: fmt.Errorf("unknown measure %q", name)}
		}
		wanted = append(wanted, measures[i])
		return nil
	}
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") { // measures may stand before the options
		if err := take(args[0]); err != nil {
			return nil, nil, err
		}
		args = args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return nil, nil, lifecycle.UsageError{Err: err}
	}
	for _, name := range flags.Args() {
		if err := take(name); err != nil {
			return nil, nil, err
		}
	}
	if l.rounds < 1 || l.rounds > 1000 || l.rows < 2000 || l.rows > 10_000_000 {
		return nil, nil, lifecycle.UsageError{Err: errors.New("-rounds must be 1 to 1000, -rows 2000 to 10000000")}
	}
	if len(wanted) == 0 {
		wanted = slices.DeleteFunc(slices.Clone(measures), func(m measure) bool { return m.long })
	}
	return l, wanted, nil
}

func runHudi(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	l, wanted, err := parseHudi(args, stderr)
	if err != nil {
		return err
	}
	l.out = stdout
	if l.dir, err = os.MkdirTemp("", "playhead-bench-hudi-"); err != nil {
		return fmt.Errorf("create temporary folder: %w", err)
	}
	defer os.RemoveAll(l.dir)
	if l.profile != "" {
		f, err := os.Create(l.profile)
		if err != nil {
			return fmt.Errorf("create profile: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	l.printf("%s, %s/%s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, m := range wanted {
		fmt.Fprintf(stderr, "bench: measuring %s\n", m.name)
		if err := m.run(l, ctx); err != nil {
			return fmt.Errorf("measure %s: %w", m.name, err)
		}
	}
	return nil
}

func (l *library) printf(format string, args ...any) { fmt.Fprintf(l.out, format+"\n", args...) }

// cost is what a piece of work took.
type cost struct {
	cpu    time.Duration
	allocs float64
	memory float64 // bytes allocated
}

// spend measures a piece of work of this process. What others of the process do meanwhile counts, too: let them do nothing.
func spend(work func() error) (cost, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, err := processTime()
	if err != nil {
		return cost{}, err
	}
	if err := work(); err != nil {
		return cost{}, err
	}
	ended, err := processTime()
	runtime.ReadMemStats(&after)
	return cost{ended - began, float64(after.Mallocs - before.Mallocs), float64(after.TotalAlloc - before.TotalAlloc)}, err
}

func processTime() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// ratio is the median of the rounds' ratios.
func ratio(a, b []float64) float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return median(all)
}

// series are the rounds of one measure, per unit of its work.
type series struct {
	cpu, allocs, memory []float64
}

func (s *series) add(c cost, units int) {
	n := float64(units)
	s.cpu, s.allocs, s.memory = append(s.cpu, float64(c.cpu)/n), append(s.allocs, c.allocs/n), append(s.memory, c.memory/n)
}
