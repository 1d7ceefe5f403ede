package charts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A schema of a custom resource, as the API server has it. Types in Go do not know what is required, nor which words there are.
type schema struct {
	Type                 string            `json:"type"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties *schema           `json:"additionalProperties"`
	Items                *schema           `json:"items"`
	Required             []string          `json:"required"`
	Enum                 []any             `json:"enum"`
	Pattern              string            `json:"pattern"`
	Minimum              *float64          `json:"minimum"`
	Maximum              *float64          `json:"maximum"`
	KeepsUnknown         bool              `json:"x-kubernetes-preserve-unknown-fields"`
	IsIntOrString        bool              `json:"x-kubernetes-int-or-string"`
}

// violations are the fields that are not as the schema says, each with what is wrong.
func (s schema) violations(path string, value any) []string {
	if s.IsIntOrString {
		switch value.(type) {
		case string, float64:
			return nil
		}
		return []string{fmt.Sprintf("%s: %v is no number or text", path, value)}
	}
	var found []string
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		found = append(found, fmt.Sprintf("%s: %v is none of %v", path, value, s.Enum))
	}
	kind := ""
	switch typed := value.(type) {
	case bool:
		kind = "boolean"
	case string:
		kind = "string"
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(typed) {
			found = append(found, fmt.Sprintf("%s: %q is not like %s", path, typed, s.Pattern))
		}
	case float64:
		kind = "number"
		if s.Type == "integer" && typed == float64(int64(typed)) {
			kind = "integer"
		}
		if s.Minimum != nil && typed < *s.Minimum || s.Maximum != nil && typed > *s.Maximum {
			found = append(found, fmt.Sprintf("%s: %v is out of bounds", path, typed))
		}
	case []any:
		kind = "array"
		for index, item := range typed {
			if s.Items != nil {
				found = append(found, s.Items.violations(fmt.Sprintf("%s[%d]", path, index), item)...)
			}
		}
	case map[string]any:
		kind = "object"
		for _, name := range s.Required {
			if _, told := typed[name]; !told {
				found = append(found, fmt.Sprintf("%s: it lacks %s", path, name))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(typed)) {
			if property, known := s.Properties[name]; known {
				found = append(found, property.violations(path+"."+name, typed[name])...)
			} else if s.AdditionalProperties != nil {
				found = append(found, s.AdditionalProperties.violations(path+"."+name, typed[name])...)
			} else if !s.KeepsUnknown {
				found = append(found, fmt.Sprintf("%s: there is no %s", path, name))
			}
		}
	}
	if kind != s.Type && s.Type != "" {
		found = append(found, fmt.Sprintf("%s: %v is no %s", path, value, s.Type))
	}
	return found
}

// schemaOf reads a version's schema from the definition of a custom resource.
func schemaOf(t *testing.T, path, version string) schema {
	t.Helper()
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(text(t, path)), &definition); err != nil {
		t.Fatal(err)
	}
	for _, each := range definition.Spec.Versions {
		if each.Name == version {
			found := each.Schema.OpenAPIV3Schema
			// the API server knows it by itself
			found.Properties["metadata"] = schema{Type: "object", KeepsUnknown: true}
			return found
		}
	}
	t.Fatalf("%s has no %s", path, version)
	return schema{}
}

// module is the folder of a Go module's source.
func module(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.Command("go", arguments...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", arguments, err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(out, &found); err != nil || found.Dir == "" {
		t.Fatalf("go %v: %s", arguments, out)
	}
	return found.Dir
}

func unstructured(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var content map[string]any
	if err := yaml.UnmarshalStrict(document, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestClustersOfRayKeepToKubeRaysSchema(t *testing.T) {
	folder := filepath.Join(module(t, "list", "-m", "-json", "github.com/ray-project/kuberay/ray-operator"), "config", "crd", "bases")
	found := 0
	for _, name := range []string{"raycluster", "rayservice"} {
		cut, err := documents([]byte(text(t, rayFolder+"/"+name+".yaml")))
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range cut {
			content := unstructured(t, document)
			if content["apiVersion"] != "ray.io/v1" {
				continue
			}
			found++
			for _, wrong := range schemaOf(t, filepath.Join(folder, "ray.io_"+name+"s.yaml"), "v1").violations(name, content) {
				t.Error(wrong)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d of 2", found)
	}
}

// The module of KEDA's types asks for four hundred others, so that what is read here is its schema alone.
func TestTheExampleForKEDAKeepsToItsSchema(t *testing.T) {
	version := os.Getenv("KEDA_VERSION")
	folder := module(t, "mod", "download", "-json", "github.com/kedacore/keda/v2@"+version)
	scaled := schemaOf(t, filepath.Join(folder, "config", "crd", "bases", "keda.sh_scaledobjects.yaml"), "v1alpha1")
	page := text(t, chartFolder+"/README.md")
	var found []string
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(block[1], "kind: ScaledObject") {
			found = append(found, block[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d examples", len(found))
	}
	for _, wrong := range scaled.violations("example", unstructured(t, []byte(found[0]))) {
		t.Error(wrong)
	}
	for document, says := range map[string]string{
		"spec: {triggers: []}": "example.spec: it lacks scaleTargetRef",
		"spec: {scaleTargetRef: {name: a}, triggers: [], minReplica: 1}": "example.spec: there is no minReplica",
		"spec: {scaleTargetRef: {name: a}, triggers: {}}":                "is no array",
	} {
		if wrong := scaled.violations("example", unstructured(t, []byte(document))); !strings.Contains(strings.Join(wrong, "\n"), says) {
			t.Errorf("%s: %q", document, wrong)
		}
	}
}
