package txn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Store is the part of storage.Store that a transaction needs.
type Store interface {
	Get(ctx context.Context, key string) ([]byte, storage.Info, error)
	Put(ctx context.Context, key string, data []byte, cond storage.Condition) (storage.Info, error)
}

// Stored is a HEAD as it lies in the store.
type Stored struct {
	Head Head
	ETag string
}

var (
	// ErrMoved: HEAD moved without the replacement, which certainly did not and will not happen.
	ErrMoved = errors.New("HEAD moved")
	// ErrUnknown: whether a replacement happened is not known, since HEAD could not be read back. Nothing may be deleted.
	ErrUnknown = errors.New("unknown whether HEAD was replaced")
)

// Load reads HEAD.
func Load(ctx context.Context, s Store) (Stored, error) {
	data, info, err := s.Get(ctx, Key)
	if err != nil {
		return Stored{}, fmt.Errorf("load HEAD: %w", err)
	}
	h, err := Decode(data)
	if err != nil {
		return Stored{}, fmt.Errorf("load HEAD: %w", err)
	}
	return Stored{h, info.ETag}, nil
}

// Create makes the first HEAD, or returns the one that is there already, which may be another's.
func Create(ctx context.Context, s Store, h Head) (Stored, error) {
	data, err := h.Encode()
	if err != nil {
		return Stored{}, err
	}
	info, err := s.Put(ctx, Key, data, storage.Condition{IfAbsent: true})
	switch storage.Classify(err) {
	case storage.Precondition, storage.Unknown:
		stored, loadErr := Load(ctx, s)
		if errors.Is(loadErr, storage.ErrNotExist) {
			return Stored{}, fmt.Errorf("create HEAD: %w", err)
		}
		return stored, loadErr
	}
	if err != nil {
		return Stored{}, fmt.Errorf("create HEAD: %w", err)
	}
	return Stored{h, info.ETag}, nil
}

// CompareAndSwap replaces HEAD if it still is old, which is the commit point. It returns the HEAD that is stored now and
//   - nil: replaced,
//   - ErrMoved: HEAD is another's; next is not and will not be there,
//   - ErrUnknown: not known, see Resolve; the Stored is old,
//   - another error: HEAD was not touched.
//
// A refusal is checked by reading back as well: a client that repeats a request by itself is refused by its own first attempt.
func CompareAndSwap(ctx context.Context, s Store, old Stored, next Head) (Stored, error) {
	data, err := next.Encode()
	if err != nil {
		return old, err
	}
	info, err := s.Put(ctx, Key, data, storage.Condition{IfMatch: old.ETag})
	if err == nil {
		return Stored{next, info.ETag}, nil
	}
	switch storage.Classify(err) {
	case storage.Precondition, storage.Unknown:
		stored, resolveErr := Resolve(ctx, s, old, next)
		if resolveErr != nil {
			return stored, fmt.Errorf("replace HEAD: %w (put: %w)", resolveErr, err)
		}
		return stored, nil
	default:
		return old, fmt.Errorf("replace HEAD: %w", err)
	}
}

// resolveAttempts bounds how often Resolve reads HEAD again when it moves under its hands. Each move decides the question, so a second
// round is rare and a third needs a store that answers against its promises.
const resolveAttempts = 3

// Resolve finds out whether the replacement of old by next happened. The answers are those of CompareAndSwap. A HEAD that has not moved
// could still be replaced by a request that is on its way, so Resolve first takes that request's ETag away by a write of its own.
func Resolve(ctx context.Context, s Store, old Stored, next Head) (Stored, error) {
	for range resolveAttempts {
		stored, err := Load(ctx, s)
		if err != nil {
			return old, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		if stored.Head.WriteID == next.WriteID {
			return stored, nil
		}
		if stored.ETag != old.ETag {
			return decide(old, next, stored)
		}
		stored, err = Fence(ctx, s, stored, next.WriteID+"-fenced")
		if err == nil {
			return stored, ErrMoved
		}
		if storage.Classify(err) != storage.Precondition {
			return old, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
	}
	return old, fmt.Errorf("%w: it keeps moving", ErrUnknown)
}

// decide judges by a HEAD that is neither old nor next.
func decide(old Stored, next Head, now Stored) (Stored, error) {
	if next.Sequence == old.Head.Sequence { // not a commit, and overtaken: whether it was there for a moment makes no difference
		return now, ErrMoved
	}
	yes, known := now.Head.Committed(next.CommitID, next.Sequence)
	switch {
	case yes:
		return now, nil
	case known || now.Head.Sequence < next.Sequence: // another commit in its place, or a HEAD without any on top of old
		return now, ErrMoved
	default:
		return now, fmt.Errorf("%w: commit %s is older than the last %d", ErrUnknown, next.CommitID, HistoryLength)
	}
}

// Fence replaces HEAD by itself under another write id, so that every replacement which is planned on the old one must fail.
func Fence(ctx context.Context, s Store, old Stored, writeID string) (Stored, error) {
	next := old.Head.Clone()
	next.WriteID = writeID
	data, err := next.Encode()
	if err != nil {
		return old, err
	}
	info, err := s.Put(ctx, Key, data, storage.Condition{IfMatch: old.ETag})
	if err != nil {
		return old, fmt.Errorf("fence HEAD: %w", err)
	}
	return Stored{next, info.ETag}, nil
}

// SetCompleted puts the completed file into h, or stages it when it is too large.
func SetCompleted(ctx context.Context, s Store, h *Head, data []byte) error {
	if len(data) <= InlineLimit {
		h.Completed, h.Staged = data, nil
		return nil
	}
	sum := sha256.Sum256(data)
	staged := Staged{Key: fmt.Sprintf("%s%d-%s", StagedFolder, h.Epoch, h.CommitID), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	// The id is the commit's own, so a refusal means that this very attempt was there before.
	if _, err := s.Put(ctx, staged.Key, data, storage.Condition{IfAbsent: true}); err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("stage completed file of %s: %w", h.Instant, err)
	}
	h.Completed, h.Staged = nil, &staged
	return nil
}

// StagedEpoch is the epoch of the attempt that staged a file. Only a later owner may delete what HEAD does not point to: to an earlier one
// the staged file of a commit under way looks the same as one left behind.
func StagedEpoch(key string) (epoch int64, ok bool) {
	text, _, found := strings.Cut(strings.TrimPrefix(key, StagedFolder), "-")
	epoch, err := strconv.ParseInt(text, 10, 64)
	return epoch, found && err == nil
}

// CompletedFile is the completed file of the last commit.
func CompletedFile(ctx context.Context, s Store, h Head) ([]byte, error) {
	if h.Staged == nil {
		return h.Completed, nil
	}
	data, _, err := s.Get(ctx, h.Staged.Key)
	if err != nil {
		return nil, fmt.Errorf("read staged file of %s: %w", h.Instant, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != h.Staged.SHA256 {
		return nil, fmt.Errorf("staged file of %s is not what HEAD says: %w", h.Instant, ErrHead)
	}
	return data, nil
}

// Complete writes the last commit's completed file to the timeline if it is absent: whoever was there before wrote the same bytes.
func Complete(ctx context.Context, s Store, h Head) error {
	data, err := CompletedFile(ctx, s, h)
	if errors.Is(err, storage.ErrNotExist) { // a staged copy goes when the file is on the timeline
		if _, _, there := s.Get(ctx, h.Entry().Key()); there == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return putAbsent(ctx, s, h.Entry(), data)
}

// Project is Complete for a commit whose earlier files may be missing too, such as a table's first. Hudi's writers expect the earlier
// states of a completed instant.
func Project(ctx context.Context, s Store, h Head) error {
	for _, state := range []timeline.State{timeline.Requested, timeline.Inflight} {
		if err := putAbsent(ctx, s, h.Entry().In(state), nil); err != nil {
			return err
		}
	}
	return Complete(ctx, s, h)
}

func putAbsent(ctx context.Context, s Store, e timeline.Entry, data []byte) error {
	if _, err := s.Put(ctx, e.Key(), data, storage.Condition{IfAbsent: true}); err != nil && storage.Classify(err) != storage.Precondition {
		return fmt.Errorf("project %s: %w", e.FileName(), err)
	}
	return nil
}
