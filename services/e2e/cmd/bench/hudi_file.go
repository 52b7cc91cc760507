package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	basefilePackage = "github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	fileEvents      = 100_000 // of a file of BenchmarkWriters
	fileRepeats     = 3       // files of a round
)

// file compares writers of base files. Ours and parquet-go's run as the package's own benchmark, since both take the rows from the
// package's walk over Avro bytes; DuckDB has the same rows in memory and decodes nothing. One thread each, warm buffers.
func (l *library) file(ctx context.Context) (err error) {
	bench, source := filepath.Join(l.dir, "basefile.test"), filepath.Join(l.dir, "rows.parquet")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", bench, basefilePackage).CombinedOutput(); err != nil {
		return fmt.Errorf("build the benchmark: %w: %s", err, out)
	}
	own, theirs := new(writerSeries), new(writerSeries)
	var duck *peer
	defer func() {
		if duck != nil {
			err = errors.Join(err, duck.stop())
		}
	}()
	duckCPU, duckBytes, missing := []float64{}, 0.0, error(nil)
	for round := range l.rounds {
		figures, err := runWriters(ctx, bench, source)
		if err != nil {
			return err
		}
		own.add(figures["own_reused"])
		theirs.add(figures["parquet-go_reused"])
		if round == 0 {
			duck, missing = l.startPeer(ctx, "duckdb", "duckdb_copy.py", source, filepath.Join(l.dir, "copy.parquet"))
			if missing != nil && !errors.Is(missing, errNoPeer) {
				return missing
			}
		}
		if missing != nil {
			continue
		}
		if duck.rows != fileEvents {
			return fmt.Errorf("DuckDB loaded %d rows, want %d", duck.rows, fileEvents)
		}
		cpu := 0.0
		for range fileRepeats {
			a, err := duck.work(fileEvents)
			if err != nil {
				return fmt.Errorf("DuckDB: %w", err)
			}
			cpu, duckBytes = cpu+float64(a.CPU), float64(a.Bytes)/fileEvents
		}
		duckCPU = append(duckCPU, cpu/(fileRepeats*fileEvents))
	}
	l.printf("\nfile: %d rows of 32 columns, zstd 1, bloom filter in ours and parquet-go's; per row", fileEvents)
	l.printf("%-28s %10s %10s %10s %10s", "", "cpu ns", "allocs", "B alloc", "file B")
	l.printf("%-28s %10.0f %10.4f %10.0f %10.1f", "this library", median(own.cpu), median(own.allocs), median(own.memory), median(own.size))
	l.printf("%-28s %10.0f %10.4f %10.0f %10.1f   %.2f times ours", "parquet-go columns", median(theirs.cpu), median(theirs.allocs),
		median(theirs.memory), median(theirs.size), ratio(theirs.cpu, own.cpu))
	if missing != nil {
		l.printf("%-28s not measured: %v", "DuckDB COPY", missing)
		return nil
	}
	l.printf("%-28s %10.0f %10s %10s %10.1f   %.2f times ours", "DuckDB "+duck.version+" COPY", median(duckCPU), "-", "-", duckBytes, ratio(duckCPU, own.cpu))
	return nil
}

// writerSeries are the rounds of one writer, per row.
type writerSeries struct {
	series
	size []float64
}

func (s *writerSeries) add(f map[string]float64) {
	s.cpu, s.allocs, s.memory = append(s.cpu, f["cpu-ns/event"]), append(s.allocs, f["allocs/event"]), append(s.memory, f["B/event"])
	s.size = append(s.size, f["fileB/event"])
}

// runWriters runs a round of the package's benchmark, which counts its rows, and returns its metrics by writer.
func runWriters(ctx context.Context, bench, source string) (map[string]map[string]float64, error) {
	cmd := exec.CommandContext(ctx, bench, "-test.run", "^$", "-test.bench", "BenchmarkWriters/(own|parquet-go)_reused", "-test.cpu", "1",
		"-test.benchtime", strconv.Itoa(fileRepeats)+"x")
	cmd.Env = append(os.Environ(), "PLAYHEAD_BENCH_FILE="+source)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run the benchmark: %w: %s", err, out)
	}
	figures := map[string]map[string]float64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkWriters/") {
			continue
		}
		f := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 { // value, unit
			if f[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, fmt.Errorf("read the benchmark's line %q: %w", line, err)
			}
		}
		figures[strings.TrimPrefix(fields[0], "BenchmarkWriters/")] = f
	}
	if len(figures) != 2 {
		return nil, fmt.Errorf("the benchmark said %q", out)
	}
	return figures, nil
}
