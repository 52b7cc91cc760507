module github.com/playhead-pipeline/playhead/proto

go 1.26.0
