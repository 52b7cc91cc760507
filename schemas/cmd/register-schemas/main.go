// Command register-schemas registers every published schema version in a Confluent-compatible registry, in order, and exits. The services
// only read the registry; a deployment runs this once. Registering a version again changes nothing.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/playhead-pipeline/playhead/schemas"
)

func main() {
	registry := flag.String("registry", "", "base URL of the registry's Confluent routes")
	wait := flag.Duration("wait", 0, "how long to go on trying while the registry does not answer")
	flag.Parse()
	if *registry == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *wait+30*time.Second)
	defer cancel()
	if err := run(ctx, *registry, *wait, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "register-schemas:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, registry string, wait time.Duration, out io.Writer) error {
	deadline := time.Now().Add(wait)
	for _, subject := range schemas.Subjects() {
		versions, err := schemas.Versions(subject)
		if err != nil {
			return err
		}
		for _, version := range versions {
			id, err := register(ctx, registry, subject, version.Text)
			for err != nil && time.Now().Before(deadline) {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Second):
				}
				id, err = register(ctx, registry, subject, version.Text)
			}
			if err != nil {
				return fmt.Errorf("register version %d of %s: %w", version.Number, subject, err)
			}
			fmt.Fprintf(out, "%s version %d has id %d\n", subject, version.Number, id)
		}
	}
	return nil
}

// register sends one schema and returns its id.
func register(ctx context.Context, registry, subject, text string) (int, error) {
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		return 0, err
	}
	address := registry + "/subjects/" + url.PathEscape(subject) + "/versions"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return 0, err
	}
	var registered struct {
		ID int `json:"id"`
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the registry answers %s: %s", resp.Status, answer)
	}
	if err := json.Unmarshal(answer, &registered); err != nil || registered.ID == 0 {
		return 0, fmt.Errorf("the registry's answer has no id: %s", answer)
	}
	return registered.ID, nil
}
