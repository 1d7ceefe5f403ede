package charts

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// eachRelease runs a test for everything that the chart renders.
func eachRelease(t *testing.T, test func(*testing.T, manifests, *apps.Deployment)) {
	t.Helper()
	eachFile(t, goldenFolder+"/*.yaml", func(t *testing.T, all manifests) {
		deployments := of[*apps.Deployment](all)
		if len(deployments) != 1 {
			t.Fatalf("%d Deployments", len(deployments))
		}
		test(t, all, deployments[0])
	})
}

// selects says whether a selector is for pods of these labels.
func selects(t *testing.T, selector *meta.LabelSelector, of map[string]string) bool {
	t.Helper()
	parsed, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !parsed.Empty() && parsed.Matches(labels.Set(of))
}

// ports are a container's, by name.
func ports(deployment *apps.Deployment) map[string]int32 {
	found := map[string]int32{}
	for _, port := range deployment.Spec.Template.Spec.Containers[0].Ports {
		found[port.Name] = port.ContainerPort
	}
	return found
}

func TestSelectorsFindThePods(t *testing.T) {
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		pods := deployment.Spec.Template.Labels
		if !selects(t, deployment.Spec.Selector, pods) {
			t.Error("the Deployment's does not find its own")
		}
		for _, constraint := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
			if !selects(t, constraint.LabelSelector, pods) {
				t.Error("that of the spread finds none")
			}
		}
		for _, service := range of[*core.Service](all) {
			if !selects(t, &meta.LabelSelector{MatchLabels: service.Spec.Selector}, pods) {
				t.Errorf("that of Service %s finds none", service.Name)
			}
		}
		for _, budget := range of[*policy.PodDisruptionBudget](all) {
			if !selects(t, budget.Spec.Selector, pods) {
				t.Error("that of the PodDisruptionBudget finds none")
			}
		}
		for _, network := range of[*networking.NetworkPolicy](all) {
			if !selects(t, &network.Spec.PodSelector, pods) {
				t.Error("that of the NetworkPolicy finds none")
			}
		}
		for _, monitor := range of[*monitoring.ServiceMonitor](all) {
			var found []string
			for _, service := range of[*core.Service](all) {
				if selects(t, &monitor.Spec.Selector, service.Labels) {
					found = append(found, service.Name)
				}
			}
			if !slices.Equal(found, []string{deployment.Name + "-metrics"}) {
				t.Errorf("that of the ServiceMonitor finds %v", found)
			}
		}
	})
}

func TestServicesLeadToPortsThatAreOpen(t *testing.T) {
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		open := ports(deployment)
		reached := map[string]bool{}
		headless := 0
		for _, service := range of[*core.Service](all) {
			for _, port := range service.Spec.Ports {
				if open[port.TargetPort.StrVal] != port.Port {
					t.Errorf("%s: %d leads to %s, which is %d", service.Name, port.Port, port.TargetPort.StrVal, open[port.TargetPort.StrVal])
				}
				reached[port.TargetPort.StrVal] = true
			}
			if service.Spec.ClusterIP == core.ClusterIPNone && service.Spec.Ports[0].Name == "grpc" {
				headless++
				if service.Spec.PublishNotReadyAddresses {
					t.Errorf("%s: calls go to pods without models", service.Name)
				}
			}
			if service.Name == deployment.Name && slices.ContainsFunc(service.Spec.Ports, func(port core.ServicePort) bool {
				return port.Name == "metrics"
			}) {
				t.Error("metrics are where callers are")
			}
		}
		if !maps.Equal(reached, keys(open)) || headless != 1 {
			t.Errorf("of %v reached are %v; %d without an address", open, reached, headless)
		}
	})
}

func keys(ports map[string]int32) map[string]bool {
	found := map[string]bool{}
	for name := range ports {
		found[name] = true
	}
	return found
}

func TestTheNetworkIsOpenWhereServicesAre(t *testing.T) {
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		found := of[*networking.NetworkPolicy](all)
		if len(found) == 0 {
			if !strings.HasSuffix(t.Name(), "/minimal") {
				t.Error("there is none")
			}
			return
		}
		allowed := map[string]bool{}
		for _, rule := range found[0].Spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				t.Error("a rule lets in everybody, or to everywhere")
			}
			for _, port := range rule.Ports {
				if port.Port.Type != intstr.String {
					t.Errorf("%v may be another's", port.Port)
				}
				allowed[port.Port.StrVal] = true
			}
		}
		served := map[string]bool{}
		for _, service := range of[*core.Service](all) {
			for _, port := range service.Spec.Ports {
				served[port.TargetPort.StrVal] = true
			}
		}
		if !maps.Equal(allowed, served) {
			t.Errorf("allowed are %v, served %v", allowed, served)
		}
		if !slices.Contains(found[0].Spec.PolicyTypes, networking.PolicyTypeEgress) {
			t.Error("everything may be reached from there")
		}
	})
}

func TestABudgetIsThereFromTwoReplicasOn(t *testing.T) {
	told := map[string]int{}
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		budgets := of[*policy.PodDisruptionBudget](all)
		name := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		told[name] = len(budgets)
		replicas := deployment.Spec.Replicas
		if name == "autoscaled" {
			if replicas != nil {
				t.Error("it would be set back with every upgrade")
			}
		} else if (*replicas > 1) != (len(budgets) == 1) {
			t.Errorf("%d of %d replicas", len(budgets), *replicas)
		}
		for _, budget := range budgets {
			if budget.Spec.MaxUnavailable == nil || budget.Spec.MaxUnavailable.IntVal != 1 {
				t.Error("a node might never be emptied, or all replicas go at once")
			}
		}
	})
	if told["replicas"] != 1 || told["autoscaled"] != 1 || told["demo"] != 0 {
		t.Error(told)
	}
}

func TestSecretsAndClaimsAreThereOrNamedByValues(t *testing.T) {
	// of ci/*-values.yaml
	given := []string{"primase-keys", "primase-certificate", "hub", "rest-token", "own-weights"}
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		made := map[string]map[string]string{}
		for _, secret := range of[*core.Secret](all) {
			made[secret.Name] = secret.StringData
		}
		claims := map[string]bool{}
		for _, claim := range of[*core.PersistentVolumeClaim](all) {
			claims[claim.Name] = false
		}
		spec := deployment.Spec.Template.Spec
		needed := map[string]bool{}
		for _, volume := range spec.Volumes {
			if volume.Secret != nil {
				needed[volume.Secret.SecretName] = true
			}
			if volume.PersistentVolumeClaim != nil {
				name := volume.PersistentVolumeClaim.ClaimName
				if _, ours := claims[name]; ours {
					claims[name] = true
				} else if !slices.Contains(given, name) {
					t.Errorf("nobody makes the volume %s", name)
				}
			}
		}
		for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
			for _, variable := range container.Env {
				if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
					needed[variable.ValueFrom.SecretKeyRef.Name] = true
				}
			}
		}
		for name := range needed {
			if made[name] == nil && !slices.Contains(given, name) {
				t.Errorf("nobody makes the Secret %s", name)
			}
		}
		for name, content := range made {
			if !needed[name] || len(content) == 0 {
				t.Errorf("nobody needs the Secret %s, or it is empty", name)
			}
		}
		for name, used := range claims {
			if !used {
				t.Errorf("nobody uses the volume %s", name)
			}
		}
		for _, monitor := range of[*monitoring.ServiceMonitor](all) {
			for _, endpoint := range monitor.Spec.Endpoints {
				encrypted := slices.ContainsFunc(spec.Containers[0].Args, func(word string) bool { return strings.HasPrefix(word, "--tls-cert") })
				if endpoint.Port == "rest" && encrypted {
					if endpoint.TLSConfig == nil || endpoint.TLSConfig.CA.Secret == nil || !needed[endpoint.TLSConfig.CA.Secret.Name] {
						t.Error("the gateway's metrics are encrypted, and Prometheus is not told whom to trust")
					}
				}
			}
		}
	})
}

func TestTwoReplicasDoNotWaitForOneNodesVolume(t *testing.T) {
	eachRelease(t, func(t *testing.T, all manifests, deployment *apps.Deployment) {
		for _, claim := range of[*core.PersistentVolumeClaim](all) {
			shared := slices.Contains(claim.Spec.AccessModes, core.ReadWriteMany)
			if shared == (deployment.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType) {
				t.Errorf("%s with a volume of %v", deployment.Spec.Strategy.Type, claim.Spec.AccessModes)
			}
			if claim.Annotations["helm.sh/resource-policy"] != "keep" {
				t.Error("weights go with the release")
			}
		}
	})
}

var number = regexp.MustCompile(`^--(withdraw-s|grace-s|threads)=([0-9]+)$`)

func TestThereIsTimeToFinish(t *testing.T) {
	eachRelease(t, func(t *testing.T, _ manifests, deployment *apps.Deployment) {
		spec := deployment.Spec.Template.Spec
		told := map[string]int64{}
		for _, word := range spec.Containers[0].Args {
			if found := number.FindStringSubmatch(word); found != nil {
				told[found[1]], _ = strconv.ParseInt(found[2], 10, 64)
			}
		}
		// the gateway ends its requests, then gRPC its calls
		phases := int64(1)
		if ports(deployment)["rest"] != 0 {
			phases = 2
		}
		if least := told["withdraw-s"] + phases*told["grace-s"] + 5; *spec.TerminationGracePeriodSeconds <= least {
			t.Errorf("%d s, of %d", *spec.TerminationGracePeriodSeconds, least)
		}
		if told["withdraw-s"] < 5 {
			t.Error("balancers learn too late")
		}
		cpus := spec.Containers[0].Resources.Limits.Cpu()
		if cpus.IsZero() {
			cpus = spec.Containers[0].Resources.Requests.Cpu()
		}
		if wanted := max(1, cpus.MilliValue()/1000-1); told["threads"] != wanted {
			t.Errorf("%d threads on %v CPUs", told["threads"], cpus)
		}
	})
}

func TestTheChartIsOfThisVersion(t *testing.T) {
	version, chart := text(t, "../../VERSION"), text(t, chartFolder+"/Chart.yaml")
	for _, line := range []string{"version: %s", `appVersion: "%s"`} {
		if !strings.Contains(chart, fmt.Sprintf("\n"+line+"\n", strings.TrimSpace(version))) {
			t.Errorf("Chart.yaml lacks "+line, strings.TrimSpace(version))
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
