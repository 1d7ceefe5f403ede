package charts

import (
	"maps"
	"slices"
	"strings"
	"testing"

	ray "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// eachCluster runs a test for both ways in which a cluster is made.
func eachCluster(t *testing.T, test func(*testing.T, manifests, ray.RayClusterSpec)) {
	t.Helper()
	eachFile(t, rayFolder+"/ray*.yaml", func(t *testing.T, all manifests) {
		var specs []ray.RayClusterSpec
		for _, object := range of[*ray.RayCluster](all) {
			specs = append(specs, object.Spec)
		}
		for _, object := range of[*ray.RayService](all) {
			specs = append(specs, object.Spec.RayClusterSpec)
		}
		if len(specs) != 1 {
			t.Fatalf("%d clusters", len(specs))
		}
		test(t, all, specs[0])
	})
}

func TestWorkersComeAndGo(t *testing.T) {
	eachCluster(t, func(t *testing.T, _ manifests, spec ray.RayClusterSpec) {
		if !is(spec.EnableInTreeAutoscaling, true) || *spec.AutoscalerOptions.Version != ray.AutoscalerVersionV2 {
			t.Error("nobody starts workers")
		}
		if spec.HeadGroupSpec.RayStartParams["num-cpus"] != "0" {
			t.Error("models would run on the head")
		}
		devices := map[bool]int{}
		for _, group := range spec.WorkerGroupSpecs {
			if *group.MinReplicas > *group.MaxReplicas {
				t.Errorf("%s: from %d to %d", group.GroupName, *group.MinReplicas, *group.MaxReplicas)
			}
			container := group.Template.Spec.Containers[0]
			_, gpu := container.Resources.Limits["nvidia.com/gpu"]
			devices[gpu]++
			if strings.Contains(container.Image, "cuda") != gpu {
				t.Errorf("%s: %s with GPUs: %t", group.GroupName, container.Image, gpu)
			}
		}
		if !maps.Equal(devices, map[bool]int{false: 1, true: 1}) {
			t.Errorf("groups with GPUs, and without: %v", devices)
		}
	})
}

func TestRayIsClosed(t *testing.T) {
	eachCluster(t, func(t *testing.T, all manifests, spec ray.RayClusterSpec) {
		if spec.AuthOptions == nil || spec.AuthOptions.Mode != ray.AuthModeToken {
			t.Error("whoever reaches Ray may run code there")
		}
		own := spec.AutoscalerOptions.SecurityContext
		if own == nil || !is(own.ReadOnlyRootFilesystem, true) || !is(own.AllowPrivilegeEscalation, false) {
			t.Error("the autoscaler's container is open")
		}
		for _, p := range pods(all) {
			covered := 0
			for _, network := range of[*networking.NetworkPolicy](all) {
				if selects(t, &network.Spec.PodSelector, p.labels) {
					covered++
				}
			}
			wanted := 1
			if p.labels["app.kubernetes.io/component"] == "front-end" {
				wanted = 2
			}
			if covered != wanted {
				t.Errorf("%s: %d rules", p.where, covered)
			}
			if !strings.HasSuffix(p.where, "head") && !is(p.spec.AutomountServiceAccountToken, false) {
				t.Errorf("%s may talk to Kubernetes", p.where)
			}
		}
		for _, network := range of[*networking.NetworkPolicy](all) {
			for _, rule := range network.Spec.Ingress {
				// only members of the cluster come to every port
				if len(rule.Ports) == 0 && (len(rule.From) != 1 || rule.From[0].NamespaceSelector != nil ||
					!maps.Equal(rule.From[0].PodSelector.MatchLabels, network.Spec.PodSelector.MatchLabels)) {
					t.Errorf("%s: %v", network.Name, rule)
				}
			}
		}
	})
}

func TestTheFrontEndIsReached(t *testing.T) {
	for _, path := range []string{"raycluster", "rayservice"} {
		all := read(t, rayFolder+"/"+path+".yaml")
		var front []pod
		for _, p := range pods(all) {
			if p.labels["app.kubernetes.io/component"] == "front-end" {
				front = append(front, p)
			}
		}
		if len(front) != 1 {
			t.Fatalf("%s: %d front ends", path, len(front))
		}
		named := map[string]int32{}
		for _, port := range front[0].spec.Containers[0].Ports {
			named[port.Name] = port.ContainerPort
		}
		for name, number := range map[string]int32{"grpc": 50051, "rest": 8000, "primase-metrics": 9464} {
			if named[name] != number {
				t.Errorf("%s: %s is %d", path, name, named[name])
			}
		}
		for _, service := range of[*core.Service](all) {
			if !selects(t, &meta.LabelSelector{MatchLabels: service.Spec.Selector}, front[0].labels) {
				t.Errorf("%s: %s leads elsewhere", path, service.Name)
			}
			for _, port := range service.Spec.Ports {
				if named[port.TargetPort.StrVal] != port.Port {
					t.Errorf("%s: %v", path, port)
				}
			}
		}
		for _, network := range of[*networking.NetworkPolicy](all) {
			if network.Name != "primase-front-end" {
				continue
			}
			for _, port := range network.Spec.Ingress[0].Ports {
				if named[port.Port.StrVal] == 0 {
					t.Errorf("%s: there is no %v", path, port.Port)
				}
			}
		}
	}
}

func TestTheFrontEndIsAMemberOfTheCluster(t *testing.T) {
	all := read(t, rayFolder+"/raycluster.yaml")
	cluster, front := of[*ray.RayCluster](all)[0], of[*apps.Deployment](all)[0]
	container := front.Spec.Template.Spec.Containers[0]
	joins := strings.Join(container.Command, " ")
	// KubeRay calls the head's Service after the cluster
	if !strings.Contains(joins, "--address="+cluster.Name+"-head-svc:6379 ") || !strings.Contains(joins, "--num-cpus=0 ") {
		t.Error(joins)
	}
	if !selects(t, front.Spec.Selector, front.Spec.Template.Labels) || *front.Spec.Replicas != 1 ||
		front.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType {
		t.Error("two of it would decide for the same models")
	}
	var given []string
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			given = append(given, variable.ValueFrom.SecretKeyRef.Name)
		}
	}
	if !slices.Equal(given, []string{*cluster.Spec.AuthOptions.SecretName}) {
		t.Errorf("the token of %v", given)
	}
}

func TestThePageTellsHowEverySecretIsMade(t *testing.T) {
	page := text(t, rayFolder+"/README.md")
	eachCluster(t, func(t *testing.T, all manifests, spec ray.RayClusterSpec) {
		named := []string{*spec.AuthOptions.SecretName}
		for _, p := range pods(all) {
			for _, volume := range p.spec.Volumes {
				if volume.Secret != nil {
					named = append(named, volume.Secret.SecretName)
				}
			}
		}
		for _, name := range named {
			if !strings.Contains(page, "create secret generic "+name+" ") {
				t.Errorf("nothing about %s", name)
			}
		}
	})
}
