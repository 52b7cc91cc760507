package bloom

import "encoding/binary"

const murmurFactor = 0x5bd1e995

// lanes hash up to four keys at once by org.apache.hudi.common.util.hash.MurmurHash, which is MurmurHash2 but for its tail: that is
// taken from the end of the key, and its bytes are extended by their sign, so that other implementations give other values.
//
// A key's thirty hashes are a chain, each the seed of the next, of multiplications that wait for one another: four keys that take
// turns go through in the time of one. What does not depend on the seed is done once for all of a key's hashes: a key becomes a
// start and words, and its hash the fold of the words.
type lanes struct {
	start [4]uint32
	count [4]int // words of each
	words [][4]uint32
}

// mix puts a key into a lane.
func (l *lanes) mix(lane int, key []byte) {
	n := len(key) / 4
	if need := n + 1; need > len(l.words) {
		l.words = append(l.words, make([][4]uint32, need-len(l.words))...)
	}
	l.start[lane], l.count[lane] = uint32(len(key)), n
	for i := range n {
		k := binary.LittleEndian.Uint32(key[4*i:]) * murmurFactor
		k ^= k >> 24
		l.words[i][lane] = k * murmurFactor
	}
	if len(key)%4 == 0 {
		return
	}
	// The tail is combined with what the words gave, and multiplied: it goes into the last word, and a word of nothing follows.
	if n > 0 {
		l.words[n-1][lane] ^= tail(key)
	} else {
		l.start[lane] ^= tail(key)
	}
	l.words[n][lane] = 0
	l.count[lane]++
}

// tail combines the bytes behind the last whole word, of which there are one to three.
func tail(key []byte) uint32 {
	end := len(key)
	t := signed(key[end-1])
	if end%4 >= 2 {
		t ^= signed(key[end-2]) << 8
	}
	if end%4 >= 3 {
		t ^= signed(key[end-3]) << 16
	}
	return t
}

func signed(b byte) uint32 { return uint32(int32(int8(b))) }

// hash gives the next hash of each lane's key, by the last one.
func (l *lanes) hash(a, b, c, d uint32) (nextA, nextB, nextC, nextD uint32) {
	a, b, c, d = a^l.start[0], b^l.start[1], c^l.start[2], d^l.start[3]
	common := min(l.count[0], l.count[1], l.count[2], l.count[3])
	words := l.words[:common]
	for i := range words {
		w := &words[i]
		a = a*murmurFactor ^ w[0]
		b = b*murmurFactor ^ w[1]
		c = c*murmurFactor ^ w[2]
		d = d*murmurFactor ^ w[3]
	}
	return finish(l.fold(0, common, a)), finish(l.fold(1, common, b)), finish(l.fold(2, common, c)), finish(l.fold(3, common, d))
}

// hashOne is hash of one lane.
func (l *lanes) hashOne(lane int, seed uint32) uint32 {
	return finish(l.fold(lane, 0, seed^l.start[lane]))
}

// fold takes in a lane's words from one on.
func (l *lanes) fold(lane, from int, h uint32) uint32 {
	for i := from; i < l.count[lane]; i++ {
		h = h*murmurFactor ^ l.words[i][lane]
	}
	return h
}

func finish(h uint32) uint32 {
	h ^= h >> 13
	h *= murmurFactor
	return h ^ h>>15
}
