package rollup

// level is what the player does as far as the events of a run tell: of each of three switches whether it is unknown, off or on. A run knows
// nothing of a switch before its first event that turns it, so the time until then is kept apart until the run before is known.
//
// It is a number of three digits to the base 3; digit 0 is unknown.
type level uint8

// levels is how many there are. The zero level knows nothing.
const levels = 27

const (
	off = 1
	on  = 2
	// The places of the three digits.
	buffering level = 1
	paused    level = 3
	inAd      level = 9
)

func (l level) digit(place level) level { return l / place % 3 }

// then is the level after events that tell b.
func (l level) then(b level) level { return composed[l][b] }

var composed = func() (table [levels][levels]level) {
	for a := range level(levels) {
		for b := range level(levels) {
			for _, place := range []level{buffering, paused, inAd} {
				d := b.digit(place)
				if d == 0 {
					d = a.digit(place)
				}
				table[a][b] += d * place
			}
		}
	}
	return table
}()

// activity is how time at a level is reported. A switch that no event has turned counts as off.
type activity int

const (
	watching activity = iota
	rebuffering
	pausing
	advertising
)

func (l level) activity() activity {
	switch {
	case l.digit(buffering) == on:
		return rebuffering
	case l.digit(paused) == on:
		return pausing
	case l.digit(inAd) == on:
		return advertising
	}
	return watching
}

// level is what an event of a kind tells of the switches.
func (k Kind) level() level { return told[k] }

var told = [kinds]level{
	Start:       off*buffering + off*paused + off*inAd,
	Pause:       on * paused,
	Resume:      off * paused,
	BufferStart: on * buffering,
	BufferEnd:   off * buffering,
	AdStart:     on * inAd,
	AdEnd:       off * inAd,
}
