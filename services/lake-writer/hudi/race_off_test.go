//go:build !race

package hudi

const raceEnabled = false
