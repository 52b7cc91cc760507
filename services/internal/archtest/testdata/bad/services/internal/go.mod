module github.com/playhead-pipeline/playhead/services/internal

go 1.26.0
