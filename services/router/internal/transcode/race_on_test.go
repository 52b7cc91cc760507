//go:build race

package transcode_test

// raceDetector says whether the race detector is on, under which pools forget their content at random.
const raceDetector = true
