package charts

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The oldest Kubernetes that the chart takes; what helm would ask a cluster for.
const kubeVersion = "1.27.0"

// helm runs the real one and gives what it prints, and what it says is wrong.
func helm(t *testing.T, arguments ...string) (string, string) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Fatal("HELM is to name the program: run make charts")
	}
	var out, complaints bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	command.Stdout, command.Stderr = &out, &complaints
	var status *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	} else if err == nil {
		return out.String(), ""
	}
	return out.String(), complaints.String()
}

// rendered is the chart with a file of values.
func rendered(t *testing.T, values string) (string, string) {
	t.Helper()
	return helm(t, "template", "primase", chartFolder, "--namespace=models", "--kube-version="+kubeVersion, "--values="+values)
}

// eachValues runs a test for every file of values that the chart is tried with.
func eachValues(t *testing.T, test func(t *testing.T, path, name string)) {
	t.Helper()
	paths, err := filepath.Glob(chartFolder + "/ci/*-values.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no values (%v)", err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), "-values.yaml")
		t.Run(name, func(t *testing.T) { test(t, path, name) })
	}
}

func TestHelmFindsNothingWrong(t *testing.T) {
	eachValues(t, func(t *testing.T, path, _ string) {
		out, complaints := helm(t, "lint", "--strict", "--kube-version="+kubeVersion, "--values="+path, chartFolder)
		if complaints != "" || strings.Contains(out, "[WARNING]") {
			t.Error(out, complaints)
		}
	})
}

func TestTheChartRendersAsBefore(t *testing.T) {
	eachValues(t, func(t *testing.T, path, name string) {
		out, complaints := rendered(t, path)
		if complaints != "" {
			t.Fatal(complaints)
		}
		golden := filepath.Join(goldenFolder, name+".yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if out != text(t, golden) {
			t.Errorf("%s is not what the chart renders; if that is meant: make charts-golden", golden)
		}
	})
}

func TestNoGoldenFileIsLeftOver(t *testing.T) {
	paths, _ := filepath.Glob(goldenFolder + "/*.yaml")
	for _, path := range paths {
		values := strings.TrimSuffix(filepath.Base(path), ".yaml") + "-values.yaml"
		if _, err := os.Stat(filepath.Join(chartFolder, "ci", values)); err != nil {
			t.Error(err)
		}
	}
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	var cases []struct {
		Values map[string]any `json:"values"`
		Says   string         `json:"says"`
	}
	if err := yaml.UnmarshalStrict([]byte(text(t, "bad_values.yaml")), &cases); err != nil {
		t.Fatal(err)
	}
	for number, bad := range cases {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			values, err := yaml.Marshal(bad.Values)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(path, values, 0o600); err != nil {
				t.Fatal(err)
			}
			out, complaints := rendered(t, path)
			if out != "" || !strings.Contains(complaints, bad.Says) {
				t.Errorf("says %q\nand not %q", complaints, bad.Says)
			}
		})
	}
}
