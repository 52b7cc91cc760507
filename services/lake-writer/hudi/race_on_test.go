//go:build race

package hudi

// raceEnabled: the race detector is on, under which a sweep takes several times as long.
const raceEnabled = true
