package catalog

import (
	"fmt"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/router/internal/mask"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
	"github.com/playhead-pipeline/playhead/services/router/internal/transcode"
	"github.com/playhead-pipeline/playhead/services/router/internal/validate"
)

// Schema is a schema in force: everything that its events need. It is immutable and safe for concurrent use.
type Schema struct {
	ID         int32
	Route      *route.Route
	Program    *avroscan.Program
	Checker    *validate.Checker
	Mask       *mask.Plan
	Transcoder *transcode.Transcoder
}

// Limits bounds events and schemas.
type Limits struct {
	// EventBytes bounds an event, as JSON and as Avro.
	EventBytes int
	// Elements bounds the items of arrays and maps of one event together.
	Elements int
}

// compile makes a Schema of a text. An error means that the text breaks the contract that schemas of this pipeline are under.
func compile(id int32, text string, r *route.Route, l Limits) (*Schema, error) {
	program, err := avroscan.Compile([]byte(text), avroscan.Options{Limits: avroscan.Limits{
		MaxEventBytes: l.EventBytes, MaxValueBytes: l.EventBytes, MaxElements: l.Elements,
	}})
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	contract, err := annotation.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read contract: %w", err)
	}
	checker, err := validate.NewChecker(program, contract)
	if err != nil {
		return nil, fmt.Errorf("find key fields: %w", err)
	}
	plan, err := mask.Compile(program, contract)
	if err != nil {
		return nil, fmt.Errorf("plan masking: %w", err)
	}
	return &Schema{
		ID: id, Route: r, Program: program, Checker: checker, Mask: plan,
		Transcoder: transcode.New(program.Root(), transcode.Limits{
			MaxJSONBytes: l.EventBytes, MaxEventBytes: l.EventBytes, MaxValueBytes: l.EventBytes, MaxElements: l.Elements,
		}),
	}, nil
}
