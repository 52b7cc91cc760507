module github.com/playhead-pipeline/playhead/services/router

go 1.26.0
