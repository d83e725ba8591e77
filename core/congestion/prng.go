package congestion

// prng is a small deterministic random sequence (SplitMix64): one per
// controller, so that a run replays from its seed.
type prng struct{ state uint64 }

func (r *prng) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1; n must not be 0.
func (r *prng) below(n uint64) uint64 { return r.next() % n }
