module github.com/playhead-pipeline/playhead/services/lake-writer

go 1.26.0
