package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes.
const (
	exitOK       = iota
	exitFindings // verify found errors
	exitUsage    // the command line is wrong; nothing was done
	exitError    // it could not be done
)

// usageError is the caller's mistake.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

// errFindings: verify found errors, and has printed them.
var errFindings = errors.New("the table has errors")

// command is one verb of the program.
type command struct {
	name  string // one word or two
	args  string // the positional arguments; those in brackets may be left out
	about string // one line
	// outputs are the values of --output, the default first.
	outputs []string
	// define makes the flags, and returns what runs after they were parsed.
	define func(*flag.FlagSet) func(context.Context, *session) error
}

// session is one run of a command.
type session struct {
	out    *bufio.Writer
	output string   // a value of the command's outputs
	args   []string // the positional arguments; those left out are missing
}

// arg is the positional argument at an index, "" when it was left out.
func (s *session) arg(i int) string {
	if i < len(s.args) {
		return s.args[i]
	}
	return ""
}

// print writes a value as JSON, or else what text writes.
func (s *session) print(value any, text func(w io.Writer) error) error {
	if s.output != "json" {
		return text(s.out)
	}
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// commands are all verbs, in the order of the usage text.
func commands() []command {
	return []command{
		timelineCommand(), showInstantCommand(), showLogCommand(), slicesCommand(), verifyCommand(), diffCommand(), rowsCommand(),
		createCommand(), adoptCommand(), compactCommand(), clusterCommand(), cleanCommand(), archiveCommand(),
		savepointCreateCommand(), savepointDeleteCommand(), savepointListCommand(), restoreCommand(), rollbackCommand(),
	}
}

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
	case errors.Is(err, errFindings):
		return exitFindings
	}
	fmt.Fprintln(stderr, "hudictl:", err)
	if _, wrong := errors.AsType[*usageError](err); wrong {
		fmt.Fprintln(stderr, `"hudictl help" lists the commands, "hudictl help COMMAND" a command's flags`)
		return exitUsage
	}
	return exitError
}

func dispatch(ctx context.Context, args []string, out *bufio.Writer) error {
	if len(args) == 0 {
		return &usageError{"no command"}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(out, args[1:])
	}
	c, rest, ok := find(args)
	if !ok {
		return &usageError{fmt.Sprintf("no command %q", strings.Join(args[:min(2, len(args))], " "))}
	}
	flags, start := c.flags()
	output := flags.Lookup("output").Value
	s := &session{out: out}
	var err error
	if s.args, err = parse(flags, rest); errors.Is(err, flag.ErrHelp) {
		return help(out, []string{c.name})
	}
	if err != nil {
		return err
	}
	most := len(strings.Fields(c.args))
	if least := most - strings.Count(c.args, "["); len(s.args) < least || len(s.args) > most {
		return &usageError{fmt.Sprintf("%s takes the arguments %s: there are %d", c.name, c.args, len(s.args))}
	}
	s.output = output.String()
	for _, allowed := range c.outputs {
		if s.output == allowed {
			return start(ctx, s)
		}
	}
	return &usageError{fmt.Sprintf("%s has no output %q", c.name, s.output)}
}

// find takes the command off the arguments.
func find(args []string) (c command, rest []string, ok bool) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return c, args[len(words):], true
		}
	}
	return command{}, nil, false
}

// flags makes the command's flags, those that all commands have among them.
func (c command) flags() (*flag.FlagSet, func(context.Context, *session) error) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.String("output", c.outputs[0], strings.Join(c.outputs, " or "))
	return flags, c.define(flags)
}

// parse takes flags before, between and behind the positional arguments.
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{err.Error()}
		}
		if args = flags.Args(); len(args) > 0 {
			positional, args = append(positional, args[0]), args[1:]
		}
	}
	return positional, nil
}

// help lists the commands, or the flags of one.
func help(out io.Writer, args []string) error {
	if len(args) > 0 {
		c, _, ok := find(args)
		if !ok {
			return &usageError{fmt.Sprintf("no command %q", strings.Join(args, " "))}
		}
		fmt.Fprintf(out, "hudictl %s %s\n%s\n\n", c.name, c.args, c.about)
		flags, _ := c.flags()
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	}
	fmt.Fprintln(out, "usage: hudictl COMMAND ARGUMENTS [FLAGS]")
	fmt.Fprintln(out)
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-42s %s\n", c.name+" "+c.args, c.about)
	}
	_, err := fmt.Fprint(out, `
PATH is the table's folder, the one that holds .hoodie. "hudictl help COMMAND" lists a command's flags.
exit status: 0 done, 1 verify found errors, 2 wrong usage, 3 it could not be done
`)
	return err
}
