package deploycheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	composetypes "github.com/compose-spec/compose-go/v2/types"
)

// load parses a compose file as docker compose does: unknown keys and wrong types are errors.
func load(t *testing.T, text string) (*composetypes.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), composetypes.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []composetypes.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(text)}},
		Environment: composetypes.Mapping{},
	})
}

func composeText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestComposeParsesAndItsFilesExist(t *testing.T) {
	t.Parallel()
	project, err := load(t, composeText(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append([]string{"kafka", "registry", "s3"}, services...) {
		if _, err := project.GetService(want); err != nil {
			t.Errorf("service %s: %v", want, err)
		}
	}
	for name, service := range project.Services {
		if service.Build != nil {
			file := filepath.Join(service.Build.Context, service.Build.Dockerfile)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("service %s: %v", name, err)
			}
		} else if !strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest") {
			t.Errorf("service %s: image %s has no pinned version", name, service.Image)
		}
	}
}

func TestComposeUnknownKeyIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := load(t, composeText(t)+"\nbogus: 1\n"); err == nil {
		t.Error("an unknown key went unnoticed")
	}
}

// TestComposeConfigurations hands each inline configuration to the program that will read it.
func TestComposeConfigurations(t *testing.T) {
	t.Parallel()
	project, err := load(t, composeText(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			config, ok := project.Configs[service]
			if !ok {
				t.Fatalf("no configuration named %s", service)
			}
			checkConfig(t, service, config.Content)
		})
	}
}
