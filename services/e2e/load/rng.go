package load

// rng is splitmix64 (Steele, Lea, Flood 2014): any seed gives a good stream, so an event's stream can start from a hash of its coordinates.
type rng uint64

func newRNG(parts ...uint64) rng {
	state := uint64(0x9e3779b97f4a7c15)
	for _, part := range parts {
		state = mix(state ^ mix(part+0x9e3779b97f4a7c15))
	}
	return rng(state)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return mix(uint64(*r))
}

// below returns a number in [0, n).
func (r *rng) below(n uint64) uint64 { return r.next() % n }

// chance is true in perTenThousand of 10 000 draws.
func (r *rng) chance(perTenThousand int) bool { return r.below(10_000) < uint64(perTenThousand) }
