// Package stack breaks rules.
package stack

const declared = true
