package hudi

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// A clustering is an attempt like an insert overwrite, a replacecommit, whose new file groups hold the rows of the replaced ones. Its plan is
// in the requested file, which in layout 2 is that of an action of its own. Rows keep their meta columns but for the file's name.

// The bounds that ClusterOptions has where none are given. Sizes are those of Hudi's own writers (hoodie.parquet.small.file.limit,
// hoodie.parquet.max.file.size), the bytes and number of groups those of its clustering plans.
const (
	DefaultSmallFileBytes  = 100 << 20
	DefaultTargetFileBytes = 120 << 20
	DefaultGroupBytes      = 2 << 30
	DefaultClusterGroups   = 30
)

// ClusterOptions choose what a clustering rewrites, and how. The zero value merges small files and leaves the order of their rows.
type ClusterOptions struct {
	Partitions []string // path prefixes; none: all
	// SortBy are the columns that order the rows of each group of files; nulls come first. None: rows stay in the order of their files.
	SortBy []string
	// SmallFileBytes is below which size a base file is rewritten; 0: DefaultSmallFileBytes.
	SmallFileBytes int64
	// TargetFileBytes is how large the new files become, about; 0: DefaultTargetFileBytes. One of them is in memory at a time.
	TargetFileBytes int64
	// MaxGroupBytes bounds the files that are rewritten and sorted together; 0: DefaultGroupBytes.
	MaxGroupBytes int64
	// MaxGroups bounds how many such groups one clustering has; 0: DefaultClusterGroups.
	MaxGroups int
	Pace      Pace // of the bytes read; nil: as fast as it goes
}

func (o ClusterOptions) withDefaults() ClusterOptions {
	o.SmallFileBytes = cmp.Or(o.SmallFileBytes, DefaultSmallFileBytes)
	o.TargetFileBytes = cmp.Or(o.TargetFileBytes, DefaultTargetFileBytes)
	o.MaxGroupBytes = cmp.Or(o.MaxGroupBytes, DefaultGroupBytes)
	o.MaxGroups = cmp.Or(o.MaxGroups, DefaultClusterGroups)
	return o
}

func (o ClusterOptions) check() error {
	if o.SmallFileBytes < 1 || o.TargetFileBytes < 1 || o.MaxGroupBytes < 1 || o.MaxGroups < 1 {
		return fmt.Errorf("%w: bounds of a clustering must be positive: %+v", ErrInvalid, o)
	}
	return nil
}

// ClusterGroup is what a clustering rewrites together: small files of one partition become fewer ones.
type ClusterGroup struct {
	Partition string
	FileIDs   []string // of the files to rewrite, oldest first
	Bytes     int64    // of these files
	Outputs   int      // files that they become, at most
}

// PlanClustering says what Cluster would do now, and does nothing.
func (w *Writer) PlanClustering(ctx context.Context, o ClusterOptions) ([]ClusterGroup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o = o.withDefaults()
	tl, err := w.table.Timeline(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := w.table.Schema(ctx, tl)
	if err != nil {
		return nil, err
	}
	clusters, err := w.planClusters(ctx, tl, schema, o)
	if err != nil {
		return nil, fmt.Errorf("plan clustering: %w", err)
	}
	var groups []ClusterGroup
	for _, c := range clusters {
		g := ClusterGroup{Partition: c.partition, Bytes: c.bytes(), Outputs: c.outputs}
		for _, s := range c.sources {
			g.FileIDs = append(g.FileIDs, s.FileID)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// Cluster rewrites small base files of an append-only table into fewer sorted ones, in one transaction like a commit and with the errors of
// Commit. It returns nil when there is nothing to rewrite; a table that was just clustered has nothing. File groups with logs, and those
// which another engine has planned to rewrite, are left out. Result's Rows are the rows rewritten.
//
// Other engines' writers may go on adding file groups meanwhile. One that wrote to a group which is being rewritten, or took it away, makes
// the clustering fail with a *ConflictError, and nothing is changed. A table with a bucket index is refused: its rows are found by the
// bucket in their file's id.
func (w *Writer) Cluster(ctx context.Context, o ClusterOptions) (*CommitResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.undecided != nil {
		return nil, fmt.Errorf("an earlier commit is not resolved: %w", ErrUnknownOutcome)
	}
	a, err := w.beginClustering(ctx, o.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if len(a.clusters) == 0 {
		return nil, nil
	}
	writeFiles := func(ctx context.Context) error { return a.writeClusters(ctx, o) }
	return a.runSteps(ctx, a.reserve, a.startInstant, a.announceFiles, writeFiles, a.verifyFiles, a.prepareHead)
}

func (w *Writer) beginClustering(ctx context.Context, o ClusterOptions) (*attempt, error) {
	tl, err := w.ready(ctx)
	if err != nil {
		return nil, err
	}
	a := &attempt{w: w, action: w.table.clusteringAction(), operation: meta.OperationCluster, id: w.table.options.newID(), base: w.mu.head, tl: tl}
	if a.schema, err = w.table.Schema(ctx, tl); err != nil {
		return nil, err
	}
	if a.clusters, err = w.planClusters(ctx, tl, a.schema, o); err != nil || len(a.clusters) == 0 {
		return a, err
	}
	a.replaces = make(map[string][]string)
	for _, c := range a.clusters {
		for _, s := range c.sources {
			a.replaces[c.partition] = append(a.replaces[c.partition], s.FileID)
		}
		for range c.outputs {
			a.plans = append(a.plans, groupPlan{partition: c.partition, id: keys.AttemptFileID(a.id, len(a.plans))})
		}
	}
	a.requested, err = a.clusteringPlan(o)
	return a, err
}

// clusteringAction is the action under which a clustering is pending.
func (t *Table) clusteringAction() timeline.Action {
	if t.layout() == timeline.Layout2 {
		return timeline.Clustering
	}
	return timeline.ReplaceCommit
}

// cluster is a group of slices that are rewritten together. Its outputs are the attempt's plans of the same order.
type cluster struct {
	partition string
	sources   []fileslice.Slice // base files alone
	outputs   int
}

func (c cluster) bytes() int64 {
	var n int64
	for _, s := range c.sources {
		n += s.Base.Size
	}
	return n
}

// planClusters finds what to rewrite.
func (w *Writer) planClusters(ctx context.Context, tl *timeline.Timeline, schema string, o ClusterOptions) ([]cluster, error) {
	if !w.appendOnly() {
		return nil, fmt.Errorf("%w: the table has a bucket index, which finds rows by the bucket in their file's id; only append-only tables are clustered",
			ErrInvalid)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := merge.CheckSortColumns(schema, o.SortBy); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	replaced, err := w.table.Replaced(ctx, tl)
	if err != nil {
		return nil, err
	}
	if err := w.mu.committed.follow(ctx, w.table, tl); err != nil {
		return nil, err
	}
	pending, err := w.pendingServices(ctx, tl)
	if err != nil {
		return nil, err
	}
	objects, err := w.table.listData(ctx, o.Partitions)
	if err != nil {
		return nil, err
	}
	present := make(map[string]bool, len(objects))
	for _, obj := range objects {
		present[obj.Key] = true
	}
	placing, err := w.table.placing(ctx, tl, objects)
	if err != nil {
		return nil, err
	}
	small := make(map[string][]fileslice.Slice)
	for _, s := range fileslice.Latest(objects, placing, replaced).Slices {
		group := fileGroup{s.Partition, s.FileID}
		if err := w.mu.committed.check(group, present); err != nil {
			return nil, err
		}
		if _, planned := pending[group]; !planned && s.HasBase && len(s.Logs) == 0 && s.Base.Size < o.SmallFileBytes {
			small[s.Partition] = append(small[s.Partition], s)
		}
	}
	return o.clusters(small), nil
}

// clusters groups small slices within the bounds, the oldest ones first, so that files of one time stay together. Groups that would not
// become fewer files are left as they are, which is why a clustering that is repeated comes to an end.
func (o ClusterOptions) clusters(small map[string][]fileslice.Slice) []cluster {
	var clusters []cluster
	for _, partition := range slices.Sorted(maps.Keys(small)) {
		sources := small[partition]
		slices.SortFunc(sources, func(a, b fileslice.Slice) int {
			return cmp.Or(cmp.Compare(a.Base.Instant, b.Base.Instant), strings.Compare(a.FileID, b.FileID))
		})
		for len(sources) > 0 {
			n, bytes := 1, sources[0].Base.Size
			for n < len(sources) && bytes+sources[n].Base.Size <= o.MaxGroupBytes {
				bytes += sources[n].Base.Size
				n++
			}
			c := cluster{partition, sources[:n:n], int((bytes + o.TargetFileBytes - 1) / o.TargetFileBytes)}
			sources = sources[n:]
			if c.outputs >= n {
				continue
			}
			if clusters = append(clusters, c); len(clusters) == o.MaxGroups {
				return clusters
			}
		}
	}
	return clusters
}

// sortStrategy is Hudi's class that executes such plans, and its parameter for the columns.
const (
	sortStrategy   = "org.apache.hudi.client.clustering.run.strategy.SparkSortAndSizeExecutionStrategy"
	sortColumnsKey = "hoodie.clustering.plan.strategy.sort.columns"
	mebibyte       = 1 << 20
)

// clusteringPlan is the requested file's content. The note tells a successor whose attempt it is.
func (a *attempt) clusteringPlan(o ClusterOptions) ([]byte, error) {
	note, err := meta.CommitNote{CommitID: a.id, PreviousCommitID: a.base.Head.CommitID, Epoch: a.w.epoch}.Encode()
	if err != nil {
		return nil, err
	}
	plan := &meta.ClusteringPlan{
		Strategy:               meta.ClusteringStrategy{StrategyClassName: sortStrategy, StrategyParams: map[string]string{}, Version: 1},
		Version:                1,
		PreserveHoodieMetadata: true,
	}
	if len(o.SortBy) > 0 {
		plan.Strategy.StrategyParams[sortColumnsKey] = strings.Join(o.SortBy, ",")
	}
	for _, c := range a.clusters {
		size := float64(c.bytes()) / mebibyte
		g := meta.ClusteringGroup{
			NumOutputFileGroups: c.outputs, Version: 1,
			Metrics: map[string]float64{
				meta.MetricLogFiles: 0, meta.MetricLogFilesSize: 0, meta.MetricIORead: size, meta.MetricIOWrite: size, meta.MetricIO: 2 * size,
			},
		}
		for _, s := range c.sources {
			g.Slices = append(g.Slices, meta.ClusteringSlice{
				DataFilePath: a.w.table.options.baseURI + s.Base.Key(), DeltaFilePaths: []string{}, FileID: s.FileID, PartitionPath: c.partition, Version: 1,
			})
		}
		plan.InputGroups = append(plan.InputGroups, g)
	}
	return meta.RequestedReplace{
		OperationType: meta.OperationCluster, ClusteringPlan: plan, ExtraMetadata: map[string]string{meta.PlayheadKey: note}, Version: 1,
	}.Encode()
}
