// Package main stays on the right side of the rules.
package main

import (
	"flag"
	"os"
)

func main() {
	flag.Parse()
	os.Exit(1)
}
