module github.com/playhead-pipeline/playhead/services/ingest-gateway

go 1.26.0
