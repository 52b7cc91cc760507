package deploycheck

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// root is the repository's root as seen from this package.
const root = "../../.."

// services are the charts that hold one service each.
var services = []string{"ingest-gateway", "router", "lake-writer"}

// example returns the values of a chart's documented example.
func example(t *testing.T, chart string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "charts", chart, "ci", "example-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("example values of %s: %v", chart, err)
	}
	return values
}

// render returns the manifests of a chart, one YAML document each.
func render(t *testing.T, chart string, values map[string]any) ([]string, error) {
	t.Helper()
	loaded, err := loader.Load(filepath.Join(root, "charts", chart))
	if err != nil {
		t.Fatalf("load chart %s: %v", chart, err)
	}
	options := chartutil.ReleaseOptions{Name: "playhead", Namespace: "streaming", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(loaded, values, options, nil)
	if err != nil {
		t.Fatalf("values of chart %s: %v", chart, err)
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, err
	}
	var docs []string
	for _, text := range files {
		for doc := range strings.SplitSeq(text, "\n---\n") {
			if strings.TrimSpace(doc) != "" {
				docs = append(docs, doc)
			}
		}
	}
	return docs, nil
}

// kubernetesTypes maps the kinds that the charts may use to the types that a manifest must decode into without an unknown field.
func kubernetesTypes() map[string]any {
	return map[string]any{
		"v1/ConfigMap":                  &corev1.ConfigMap{},
		"v1/Service":                    &corev1.Service{},
		"v1/ServiceAccount":             &corev1.ServiceAccount{},
		"apps/v1/Deployment":            &appsv1.Deployment{},
		"policy/v1/PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
	}
}

// decode decodes one manifest strictly and returns it with its kind.
func decode(doc string) (kind string, object any, err error) {
	var header struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal([]byte(doc), &header); err != nil {
		return "", nil, err
	}
	kind = header.APIVersion + "/" + header.Kind
	object = kubernetesTypes()[kind]
	return kind, object, yaml.UnmarshalStrict([]byte(doc), object)
}

func TestChartsLintAndDecode(t *testing.T) {
	t.Parallel()
	for _, chart := range append([]string{"umbrella"}, services...) {
		t.Run(chart, func(t *testing.T) {
			t.Parallel()
			values := example(t, chart)
			for _, m := range lint.All(filepath.Join(root, "charts", chart), values, "streaming", false).Messages {
				if m.Severity >= support.WarningSev {
					t.Errorf("lint: %s", m)
				}
			}
			docs, err := render(t, chart, values)
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[string]int{}
			for _, doc := range docs {
				kind, object, err := decode(doc)
				if err != nil {
					t.Errorf("manifest does not decode strictly into %s: %v\n%s", kind, err, doc)
				}
				kinds[kind]++
				if d, ok := object.(*appsv1.Deployment); ok {
					checkPod(t, d)
				}
			}
			want := 1
			if chart == "umbrella" {
				want = len(services)
			}
			for _, kind := range []string{"v1/ConfigMap", "v1/Service", "v1/ServiceAccount", "apps/v1/Deployment"} {
				if kinds[kind] != want {
					t.Errorf("%d manifests of kind %s, want %d; all kinds: %v", kinds[kind], kind, want, kinds)
				}
			}
		})
	}
}

// checkPod asserts what the Pod Security level "restricted" asks, and that selectors, ports and probes fit together.
func checkPod(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Spec
	if pod.SecurityContext == nil || pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot {
		t.Errorf("%s may run as root", d.Name)
	}
	for key, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[key] != value {
			t.Errorf("%s: selector %s=%s does not match the pod's labels", d.Name, key, value)
		}
	}
	c := pod.Containers[0]
	if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%s: the root file system is writable", d.Name)
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("%s: a probe is missing or asks a port that the container does not have", d.Name)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s: mount %s has no volume", d.Name, m.Name)
		}
	}
}

func TestStrictDecodingCatchesUnknownField(t *testing.T) {
	t.Parallel()
	docs, err := render(t, "router", example(t, "router"))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		kind, _, err := decode(doc + "\nbogus: 1\n")
		if err == nil {
			t.Errorf("an unknown field in %s went unnoticed", kind)
		}
	}
}

func TestChartsRefuseListenersWithoutTLSUnlessToldSo(t *testing.T) {
	t.Parallel()
	for _, chart := range services {
		values := maps.Clone(example(t, chart))
		values["insecure"] = false
		values["tls"] = map[string]any{"secretName": ""}
		_, err := render(t, chart, values)
		if err == nil || !strings.Contains(err.Error(), "set tls.secretName") {
			t.Errorf("%s renders without TLS: error %v", chart, err)
		}
	}
}

// TestServicesAcceptTheirConfiguration hands the rendered configuration to the real programs.
func TestServicesAcceptTheirConfiguration(t *testing.T) {
	t.Parallel()
	for _, chart := range services {
		t.Run(chart, func(t *testing.T) {
			t.Parallel()
			docs, err := render(t, chart, example(t, chart))
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range docs {
				if _, object, _ := decode(doc); object != nil {
					if cm, ok := object.(*corev1.ConfigMap); ok {
						checkConfig(t, chart, cm.Data["config.yaml"])
					}
				}
			}
		})
	}
}

// checkConfig runs the service's -check-config on text, and on text with an unknown key, which must be refused with exit code 2.
func checkConfig(t *testing.T, service, text string) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, service)
	build := exec.Command("go", "build", "-o", bin, "./cmd/"+service)
	build.Dir = filepath.Join(root, "services", service)
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", service, err, out)
	}
	path := filepath.Join(dir, "config.yaml")
	for _, c := range []struct {
		text string
		exit int
	}{{text, 0}, {text + "\nbogus: 1\n", 2}} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "-config", path, "-check-config")
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.exit {
			t.Errorf("%s -check-config exits %d, want %d:\n%s\nconfiguration:\n%s", service, got, c.exit, out, c.text)
		}
	}
}
