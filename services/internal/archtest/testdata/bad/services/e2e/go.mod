module github.com/playhead-pipeline/playhead/services/e2e

go 1.26.0
