package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/inspect"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const usage = `usage:
  hudictl timeline PATH [--output text|json]
      the active timeline; json: an instant a line
  hudictl show commit PATH INSTANT
      the metadata of a completed write, as JSON
  hudictl rows PATH [--query snapshot|read-optimized|incremental] [--from INSTANT] [--as-of INSTANT]
               [--columns a,b] [--partitions prefix,prefix] [--output json]
      the rows, one JSON object a line
  hudictl verify PATH [--output text|json]
      checks the table; a line for each fault

PATH is the table's folder, the one that holds .hoodie.
exit status: 0 done, 1 the table is wrong or cannot be read, 2 wrong usage
`

const (
	exitOK = iota
	exitFailure
	exitUsage
)

// usageError is the caller's mistake.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

// errFaults: verify found faults, and has printed them.
var errFaults = errors.New("the table has faults")

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	err := dispatch(ctx, args, out)
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case errors.Is(err, errFaults):
		return exitFailure
	}
	fmt.Fprintln(stderr, "hudictl:", err)
	if _, wrong := errors.AsType[*usageError](err); wrong {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	return exitFailure
}

func dispatch(ctx context.Context, args []string, out *bufio.Writer) error {
	if len(args) == 0 {
		return &usageError{"no command"}
	}
	command, args := args[0], args[1:]
	if command == "show" && len(args) > 0 && args[0] == "commit" {
		command, args = "show commit", args[1:]
	}
	switch command {
	case "timeline":
		return timelineCommand(ctx, args, out)
	case "show commit":
		return showCommand(ctx, args, out)
	case "rows":
		return rowsCommand(ctx, args, out)
	case "verify":
		return verifyCommand(ctx, args, out)
	case "help", "-h", "--help":
		return flag.ErrHelp
	default:
		return &usageError{fmt.Sprintf("no command %q", command)}
	}
}

// parse takes flags before, between and behind the positional arguments, of which there must be so many.
func parse(flags *flag.FlagSet, args []string, positional int) ([]string, error) {
	flags.SetOutput(io.Discard)
	var found []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{err.Error()}
		}
		if args = flags.Args(); len(args) > 0 {
			found, args = append(found, args[0]), args[1:]
		}
	}
	if len(found) != positional {
		return nil, &usageError{fmt.Sprintf("%d arguments, want %d", len(found), positional)}
	}
	return found, nil
}

// openStore opens a table's folder. Nothing is made: a folder without a table is a mistake.
func openStore(path string) (storage.Store, error) {
	if strings.Contains(path, "://") {
		return nil, &usageError{fmt.Sprintf("%s: only local folders can be read yet", path)}
	}
	if _, err := os.Stat(filepath.Join(path, ".hoodie")); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	return storage.NewDir(path)
}

func openTable(ctx context.Context, path string) (*hudi.Table, error) {
	store, err := openStore(path)
	if err != nil {
		return nil, err
	}
	return hudi.Open(ctx, store)
}

func outputFlag(flags *flag.FlagSet, standard string) *string {
	return flags.String("output", standard, "text or json")
}

func checkOutput(output string, allowed ...string) error {
	for _, a := range allowed {
		if a == output {
			return nil
		}
	}
	return &usageError{fmt.Sprintf("output %q", output)}
}

func timelineCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("timeline", flag.ContinueOnError)
	output := outputFlag(flags, "text")
	found, err := parse(flags, args, 1)
	if err == nil {
		err = checkOutput(*output, "text", "json")
	}
	if err != nil {
		return err
	}
	table, err := openTable(ctx, found[0])
	if err != nil {
		return err
	}
	instants, err := inspect.Timeline(ctx, table)
	if err != nil {
		return err
	}
	if *output == "json" {
		return writeLines(out, instants)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANT\tACTION\tSTATE\tFILES\tINSERTS\tBYTES\tCOMMIT ID")
	for _, i := range instants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", i.Instant, i.Action, i.State, i.Files, i.Inserts, i.Bytes, i.CommitID)
	}
	return w.Flush()
}

func writeLines[T any](out io.Writer, values []T) error {
	enc := json.NewEncoder(out)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

func showCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("show commit", flag.ContinueOnError)
	output := outputFlag(flags, "json")
	found, err := parse(flags, args, 2)
	if err == nil {
		err = checkOutput(*output, "json")
	}
	if err != nil {
		return err
	}
	instant, err := instantOf(found[1])
	if err != nil {
		return err
	}
	table, err := openTable(ctx, found[0])
	if err != nil {
		return err
	}
	commit, err := inspect.ShowCommit(ctx, table, instant)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(commit)
}

// instantOf reads an instant. Zeros stand for "before everything", as in Hudi's own tools.
func instantOf(text string) (timeline.Instant, error) {
	if strings.Trim(text, "0") == "" {
		return "", nil
	}
	i, err := timeline.ParseInstant(text)
	if err != nil {
		return "", &usageError{err.Error()}
	}
	return i, nil
}

var queryTypes = map[string]hudi.QueryType{"snapshot": hudi.Snapshot, "read-optimized": hudi.ReadOptimized, "incremental": hudi.Incremental}

func rowsCommand(ctx context.Context, args []string, out *bufio.Writer) error {
	flags := flag.NewFlagSet("rows", flag.ContinueOnError)
	output := outputFlag(flags, "json")
	query := flags.String("query", "snapshot", "snapshot, read-optimized or incremental")
	from := flags.String("from", "", "incremental: rows of commits after this instant")
	asOf := flags.String("as-of", "", "the table as of this instant")
	columns := flags.String("columns", "", "names, separated by commas")
	partitions := flags.String("partitions", "", "path prefixes, separated by commas")
	found, err := parse(flags, args, 1)
	if err == nil {
		err = checkOutput(*output, "json")
	}
	if err != nil {
		return err
	}
	q := hudi.Query{Columns: listOf(*columns), Partitions: listOf(*partitions)}
	var known bool
	if q.Type, known = queryTypes[*query]; !known {
		return &usageError{fmt.Sprintf("query %q", *query)}
	}
	if q.From, err = instantOf(*from); err != nil {
		return err
	}
	if q.AsOf, err = instantOf(*asOf); err != nil {
		return err
	}
	if q.From != "" && q.Type != hudi.Incremental {
		return &usageError{"--from goes with --query incremental"}
	}
	table, err := openTable(ctx, found[0])
	if err != nil {
		return err
	}
	for row, err := range table.Scan(ctx, q) {
		if err != nil {
			return err
		}
		line, err := row.MarshalJSON()
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil { // a closed pipe ends it
			return err
		}
	}
	return nil
}

func listOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func verifyCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	output := outputFlag(flags, "text")
	found, err := parse(flags, args, 1)
	if err == nil {
		err = checkOutput(*output, "text", "json")
	}
	if err != nil {
		return err
	}
	store, err := openStore(found[0])
	if err != nil {
		return err
	}
	report, err := inspect.Verify(ctx, store, inspect.Options{Now: time.Now()})
	if err != nil {
		return err
	}
	if *output == "json" {
		err = json.NewEncoder(out).Encode(report)
	} else {
		err = writeReport(out, report)
	}
	if err == nil && report.Errors > 0 {
		err = errFaults
	}
	return err
}

func writeReport(out io.Writer, r *inspect.Report) error {
	for _, f := range r.Findings {
		fmt.Fprintln(out, f)
	}
	for _, text := range r.NotChecked {
		fmt.Fprintln(out, "not checked:", text)
	}
	_, err := fmt.Fprintf(out, "%d rows in %d files and %d logs of %d partitions, %d bytes, last commit %s: %d errors, %d warnings\n",
		r.Rows, r.Files, r.Logs, r.Partitions, r.Bytes, r.Instant, r.Errors, r.Warnings)
	return err
}
