module github.com/playhead-pipeline/playhead/schemas

go 1.26.0
