package tableservice

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace slows one run of a service down.
type pace struct {
	share          float64
	bytesPerSecond int64
	// free is when the bytes let through so far are paid for.
	free time.Time
}

func newPace(p Policy) *pace {
	return &pace{share: p.Share, bytesPerSecond: p.BytesPerSecond}
}

// charge returns how long it takes until bytes more are paid for.
func (p *pace) charge(now time.Time, bytes int64) time.Duration {
	if p.bytesPerSecond <= 0 {
		return 0
	}
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	return p.free.Sub(now)
}

// rest lets others work after a piece that took so long and read so many bytes.
func (p *pace) rest(ctx context.Context, took time.Duration, bytes int64) error {
	idle := p.charge(time.Now().Add(-took), bytes) - took
	if p.share > 0 && p.share < 1 {
		idle = max(idle, time.Duration(float64(took)*(1/p.share-1)))
	}
	return sleep(ctx, idle)
}

// pause waits between two attempts; the time doubles and is spread.
func pause(ctx context.Context, attempt int) error {
	const first, longest = 50 * time.Millisecond, 10 * time.Second
	d := min(first<<min(attempt, 10), longest)
	return sleep(ctx, d/2+rand.N(d/2+1))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
