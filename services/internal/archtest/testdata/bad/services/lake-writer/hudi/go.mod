module github.com/playhead-pipeline/playhead/services/lake-writer/hudi

go 1.26.0
