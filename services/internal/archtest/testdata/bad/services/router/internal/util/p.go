// Package util breaks rules.
package util

const declared = true
