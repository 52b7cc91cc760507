package lakewriter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/s3store"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/storemeter"
)

// probeInterval is the time between two attempts to reach the store when the process starts.
const probeInterval = 2 * time.Second

// lake is the place of all tables.
type lake struct {
	root  string // for people
	uri   string // for engines, which find S3 through Hadoop's s3a
	open  func(at string) (storage.Store, error)
	prove bool // whether the store has to prove its conditional writes
}

// openLake makes the lake of the configuration. Every store is metered; wrap, when not nil, comes closest to it.
func openLake(cfg LakeConfig, meter *storemeter.Meter, wrap func(storage.Store) storage.Store) (*lake, error) {
	if wrap == nil {
		wrap = func(s storage.Store) storage.Store { return s }
	}
	if cfg.Store == storeDir {
		root, err := filepath.Abs(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("open the lake: %w", err)
		}
		return &lake{root: root, uri: "file://" + filepath.ToSlash(root), open: func(at string) (storage.Store, error) {
			dir, err := storage.NewDir(filepath.Join(root, filepath.FromSlash(at)))
			if err != nil {
				return nil, err
			}
			return meter.Wrap(wrap(dir)), nil
		}}, nil
	}
	params := s3store.Params{Endpoint: cfg.S3.Endpoint, Region: cfg.S3.Region, Bucket: cfg.S3.Bucket, PathStyle: cfg.S3.PathStyle}
	if cfg.S3.AccessKeyFile != "" {
		params.AccessKey = secret(cfg.S3.AccessKeyFile.Read)
		params.SecretKey = secret(cfg.S3.SecretKeyFile.Read)
	}
	bucket, err := s3store.Open(context.Background(), params)
	if err != nil {
		return nil, fmt.Errorf("open the lake: %w", err)
	}
	place := path.Join(cfg.S3.Bucket, cfg.S3.Prefix)
	return &lake{
		root: "s3://" + place, uri: "s3a://" + place, prove: true,
		open: func(at string) (storage.Store, error) {
			return meter.Wrap(wrap(bucket.Store(path.Join(cfg.S3.Prefix, at)))), nil
		},
	}, nil
}

func secret(read func() ([]byte, error)) func() (string, error) {
	return func() (string, error) {
		data, err := read()
		return string(data), err
	}
}

// store returns the store of a table.
func (l *lake) store(database, name string) (storage.Store, error) {
	store, err := l.open(path.Join(database, name))
	if err != nil {
		return nil, fmt.Errorf("open the store of table %s.%s: %w", database, name, err)
	}
	return store, nil
}

// path is where people find a table.
func (l *lake) path(database, name string) string { return l.root + "/" + database + "/" + name }

// probe waits until the store answers and returns an error when it cannot hold a lake.
func (l *lake) probe(ctx context.Context, check *telemetry.Check, logger *slog.Logger) error {
	for l.prove && ctx.Err() == nil {
		err := l.probeOnce(ctx)
		if err == nil {
			break
		}
		check.Fail(err.Error())
		if _, refused := errors.AsType[*s3store.RefusedError](err); refused {
			return fmt.Errorf("probe the lake at %s: %w", l.root, err)
		}
		logger.Warn("the lake does not answer", "lake", l.root, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(probeInterval):
		}
	}
	if ctx.Err() == nil {
		check.OK()
	}
	return nil
}

func (l *lake) probeOnce(ctx context.Context) error {
	store, err := l.open("")
	if err != nil {
		return err
	}
	return s3store.Probe(ctx, store)
}
