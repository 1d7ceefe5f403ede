package charts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	ray "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const (
	deployFolder = "../../deploy"
	chartFolder  = deployFolder + "/helm/primase"
	rayFolder    = deployFolder + "/ray"
	goldenFolder = "golden"
)

// kinds are the APIs that our manifests may have documents of.
var kinds = map[string]func() meta.Object{
	"v1 PersistentVolumeClaim":            func() meta.Object { return &core.PersistentVolumeClaim{} },
	"v1 Secret":                           func() meta.Object { return &core.Secret{} },
	"v1 Service":                          func() meta.Object { return &core.Service{} },
	"apps/v1 Deployment":                  func() meta.Object { return &apps.Deployment{} },
	"policy/v1 PodDisruptionBudget":       func() meta.Object { return &policy.PodDisruptionBudget{} },
	"networking.k8s.io/v1 NetworkPolicy":  func() meta.Object { return &networking.NetworkPolicy{} },
	"monitoring.coreos.com/v1 PodMonitor": func() meta.Object { return &monitoring.PodMonitor{} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() meta.Object {
		return &monitoring.ServiceMonitor{}
	},
	"ray.io/v1 RayCluster": func() meta.Object { return &ray.RayCluster{} },
	"ray.io/v1 RayService": func() meta.Object { return &ray.RayService{} },
}

// manifests are the objects of one file.
type manifests struct {
	objects []meta.Object
}

// of gives those of one type.
func of[T meta.Object](m manifests) []T {
	var found []T
	for _, object := range m.objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// documents cuts a file of YAML into its documents, without those that are empty.
func documents(text []byte) ([][]byte, error) {
	var found [][]byte
	reader := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		var content any
		if err := yaml.Unmarshal(document, &content); err != nil {
			return nil, err
		}
		if content != nil {
			found = append(found, document)
		}
	}
}

// strictly decodes as the API server does with fieldValidation=Strict: every field by its exact name, and once.
func strictly(document []byte, into any) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}

// decode reads one document as the kind that it says to be. A field that the kind lacks, or one told twice, is an error.
func decode(document []byte) (meta.Object, error) {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return nil, err
	}
	name := kind.APIVersion + " " + kind.Kind
	empty, known := kinds[name]
	if !known {
		return nil, fmt.Errorf("%q is no kind that is known here", name)
	}
	object := empty()
	if err := strictly(document, object); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if object.GetName() == "" {
		return nil, fmt.Errorf("%s without a name", name)
	}
	return object, nil
}

// read decodes all of a file.
func read(t *testing.T, path string) manifests {
	t.Helper()
	cut, err := documents([]byte(text(t, path)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var all manifests
	seen := map[string]bool{}
	for _, document := range cut {
		object, err := decode(document)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name := fmt.Sprintf("%T %s", object, object.GetName())
		if seen[name] {
			t.Errorf("%s: two of %s", path, name)
		}
		seen[name] = true
		all.objects = append(all.objects, object)
	}
	return all
}

// eachFile runs a test for every file that matches.
func eachFile(t *testing.T, pattern string, test func(*testing.T, manifests)) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s (%v)", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			test(t, read(t, path))
		})
	}
}

// eachManifest runs a test for all that is given to a cluster: what the chart renders, and what is ready as it lies there.
func eachManifest(t *testing.T, test func(*testing.T, manifests)) {
	t.Helper()
	eachFile(t, goldenFolder+"/*.yaml", test)
	eachFile(t, rayFolder+"/*.yaml", test)
}

func TestEveryDocumentIsWhatItSaysToBe(t *testing.T) {
	eachManifest(t, func(t *testing.T, all manifests) {
		if len(all.objects) == 0 {
			t.Error("it is empty")
		}
	})
}

func TestAFieldThatAKindLacksIsNoticed(t *testing.T) {
	for document, says := range map[string]string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: 1}":                            `unknown field "spec.port"`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\nspec: {}":                         `already set`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {Type: ClusterIP}":                    `unknown field "spec.Type"`,
		"apiVersion: v2\nkind: Service\nmetadata: {name: a}":                                             `no kind that is known`,
		"apiVersion: v1\nkind: Service\nmetadata: {}":                                                    `without a name`,
		"apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: a}\nspec: {enableInTreeAutoscale: 1}": `unknown field "spec.enableInTreeAutoscale"`,
	} {
		_, err := decode([]byte(document))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestDocumentsAreCutWhereYAMLSays(t *testing.T) {
	cut, err := documents([]byte("---\n# nothing\n---\na: 1\n---\nb: |\n  --- x\n"))
	if err != nil || len(cut) != 2 || !bytes.Contains(cut[1], []byte("--- x")) {
		t.Errorf("%q, %v", cut, err)
	}
}
