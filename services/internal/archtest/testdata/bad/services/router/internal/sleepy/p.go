// Package sleepy breaks rules.
package sleepy

const declared = true
