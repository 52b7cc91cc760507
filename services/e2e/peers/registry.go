package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
)

// Registry is an Apicurio Registry that keeps its schemas in memory.
type Registry struct {
	proc *child.Process
	url  string
}

// StartRegistry starts Apicurio and sets BACKWARD as the global compatibility, since its own default is NONE. install is the folder
// "apicurio" that scripts/peers.sh made.
func StartRegistry(ctx context.Context, install, dir string) (*Registry, error) {
	java, err := findJava(ctx, 21)
	if err != nil {
		return nil, err
	}
	ports, err := child.FreePorts(2)
	if err != nil {
		return nil, err
	}
	proc, err := child.Start("apicurio", dir, nil, java, "-Xmx384m",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+strconv.Itoa(ports[0]),
		"-Dquarkus.management.host=127.0.0.1", "-Dquarkus.management.port="+strconv.Itoa(ports[1]),
		"-jar", filepath.Join(install, "quarkus-run.jar"))
	if err != nil {
		return nil, err
	}
	r := &Registry{proc: proc, url: fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", ports[0])}
	if err := proc.Ready(ctx, func(ctx context.Context) error { return r.call(ctx, http.MethodGet, "/subjects", "") }); err != nil {
		return nil, errors.Join(err, proc.Stop())
	}
	if err := r.call(ctx, http.MethodPut, "/config", `{"compatibility":"BACKWARD"}`); err != nil {
		return nil, errors.Join(err, proc.Stop())
	}
	return r, nil
}

// URL returns the base of the Confluent-compatible routes.
func (r *Registry) URL() string { return r.url }

// Stop ends the registry.
func (r *Registry) Stop() error { return r.proc.Stop() }

func (r *Registry) call(ctx context.Context, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask registry: %w", err)
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask registry: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("read answer of registry: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s of registry: status %d: %s", method, path, resp.StatusCode, answer)
	}
	return nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// findJava returns a java command of at least the given major version: of JAVA_HOME, the PATH, or a JDK in the usual folders.
func findJava(ctx context.Context, atLeast int) (string, error) {
	candidates := []string{filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java"), "java"}
	for _, pattern := range []string{"/usr/lib/jvm/*/bin/java", "/opt/*/bin/java", "/opt/java/*/bin/java"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for java: %w", err)
		}
		slices.Sort(found)
		candidates = append(candidates, found...)
	}
	for _, java := range candidates {
		out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
		if err != nil {
			continue
		}
		m := javaVersion.FindSubmatch(out)
		if m == nil {
			continue
		}
		if major, err := strconv.Atoi(string(m[1])); err == nil && major >= atLeast {
			return java, nil
		}
	}
	return "", fmt.Errorf("no java %d or newer found (JAVA_HOME, PATH, /usr/lib/jvm): install one, Apicurio Registry needs it", atLeast)
}
