package charts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	ray "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The user of the images, deploy/docker.
const user = 10001

// pod is a template of pods, and where it stands.
type pod struct {
	where  string
	labels map[string]string
	spec   core.PodSpec
}

// pods are all templates of a file.
func pods(all manifests) []pod {
	var found []pod
	add := func(where string, template core.PodTemplateSpec) {
		found = append(found, pod{where, template.Labels, template.Spec})
	}
	cluster := func(name string, spec ray.RayClusterSpec) {
		add(name+" head", spec.HeadGroupSpec.Template)
		for _, group := range spec.WorkerGroupSpecs {
			add(name+" "+group.GroupName, group.Template)
		}
	}
	for _, deployment := range of[*apps.Deployment](all) {
		add(deployment.Name, deployment.Spec.Template)
	}
	for _, object := range of[*ray.RayCluster](all) {
		cluster(object.Name, object.Spec)
	}
	for _, object := range of[*ray.RayService](all) {
		cluster(object.Name, object.Spec.RayClusterSpec)
	}
	return found
}

// eachPod runs a test for every template of every manifest.
func eachPod(t *testing.T, test func(*testing.T, pod)) {
	t.Helper()
	eachManifest(t, func(t *testing.T, all manifests) {
		for _, found := range pods(all) {
			t.Run(found.where, func(t *testing.T) { test(t, found) })
		}
	})
}

// containers are those that run before the others, and the others.
func (p pod) containers() []core.Container {
	return slices.Concat(p.spec.InitContainers, p.spec.Containers)
}

func is(value *bool, wanted bool) bool { return value != nil && *value == wanted }

func TestPodsHaveNoRights(t *testing.T) {
	eachPod(t, func(t *testing.T, p pod) {
		security := p.spec.SecurityContext
		if security == nil || !is(security.RunAsNonRoot, true) || security.RunAsUser == nil || *security.RunAsUser != user {
			t.Error("it may run as root, or as another than the images' user")
		}
		if security == nil || security.FSGroup == nil || *security.FSGroup != user {
			t.Error("its volumes are not its user's")
		}
		if security == nil || security.SeccompProfile == nil || security.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Error("it may make any system call")
		}
		if p.spec.HostNetwork || p.spec.HostPID || p.spec.HostIPC {
			t.Error("it sees the node's network or processes")
		}
		for _, container := range p.containers() {
			own := container.SecurityContext
			if own == nil || !is(own.ReadOnlyRootFilesystem, true) {
				t.Errorf("%s may write to its image", container.Name)
			}
			if own == nil || !is(own.AllowPrivilegeEscalation, false) || is(own.Privileged, true) {
				t.Errorf("%s may gain rights", container.Name)
			}
			if own == nil || own.Capabilities == nil || !slices.Equal(own.Capabilities.Drop, []core.Capability{"ALL"}) ||
				len(own.Capabilities.Add) > 0 {
				t.Errorf("%s keeps capabilities", container.Name)
			}
		}
	})
}

func TestTheServiceCannotTalkToKubernetes(t *testing.T) {
	eachFile(t, goldenFolder+"/*.yaml", func(t *testing.T, all manifests) {
		for _, p := range pods(all) {
			if !is(p.spec.AutomountServiceAccountToken, false) {
				t.Error("a token is mounted")
			}
		}
	})
}

func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9./:-]+(:[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.-]*|@sha256:[0-9a-f]{64})$`)
	eachPod(t, func(t *testing.T, p pod) {
		for _, container := range p.containers() {
			if !pinned.MatchString(container.Image) {
				t.Errorf("%s: %s", container.Name, container.Image)
			}
		}
	})
}

func TestResourcesAreAskedForAndBounded(t *testing.T) {
	eachPod(t, func(t *testing.T, p pod) {
		for _, container := range p.containers() {
			requests, limits := container.Resources.Requests, container.Resources.Limits
			if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().IsZero() {
				t.Errorf("%s: %v, %v", container.Name, requests, limits)
			}
			for name, limit := range limits {
				if asked, told := requests[name]; told && asked.Cmp(limit) > 0 {
					t.Errorf("%s asks for more %s than it may have: %s > %s", container.Name, name, asked.String(), limit.String())
				}
				// a GPU is whole, and asked for by its limit
				if strings.Contains(string(name), "/") && limit.Cmp(resource.MustParse("1")) < 0 {
					t.Errorf("%s: %s of %s", container.Name, limit.String(), name)
				}
			}
		}
	})
}

func TestWhatIsMountedIsThere(t *testing.T) {
	eachPod(t, func(t *testing.T, p pod) {
		volumes, mounted := map[string]bool{}, map[string]bool{}
		for _, volume := range p.spec.Volumes {
			if volumes[volume.Name] {
				t.Errorf("two volumes named %s", volume.Name)
			}
			volumes[volume.Name] = true
			if volume.HostPath != nil {
				t.Errorf("%s is a folder of the node", volume.Name)
			}
			if volume.EmptyDir != nil && volume.EmptyDir.SizeLimit == nil {
				t.Errorf("%s has no bound", volume.Name)
			}
			if volume.Secret != nil && (volume.Secret.DefaultMode == nil || *volume.Secret.DefaultMode != 0o440) {
				t.Errorf("%s: others may read it", volume.Name)
			}
		}
		for _, container := range p.containers() {
			paths := map[string]bool{}
			for _, mount := range container.VolumeMounts {
				mounted[mount.Name] = true
				if !volumes[mount.Name] {
					t.Errorf("%s: there is no volume %s", container.Name, mount.Name)
				}
				if paths[mount.MountPath] {
					t.Errorf("%s: %s twice", container.Name, mount.MountPath)
				}
				paths[mount.MountPath] = true
				if mount.SubPath != "" {
					t.Errorf("%s: %s would not change with what it is of", container.Name, mount.MountPath)
				}
			}
			// where the images write
			if !paths["/tmp"] || !paths["/var/lib/primase"] {
				t.Errorf("%s: it cannot write where it has to: %v", container.Name, paths)
			}
		}
		for name := range volumes {
			if !mounted[name] {
				t.Errorf("nobody mounts %s", name)
			}
		}
	})
}

// Options that name a file.
var files = regexp.MustCompile(`^--?[a-z-]+=(/etc/primase/.+)$`)

func TestFilesThatOptionsNameAreMounted(t *testing.T) {
	eachPod(t, func(t *testing.T, p pod) {
		for _, container := range p.containers() {
			words := slices.Concat(container.Command, container.Args)
			for _, probe := range probes(container) {
				if probe.Exec != nil {
					words = append(words, probe.Exec.Command...)
				}
			}
			for _, word := range words {
				named := files.FindStringSubmatch(word)
				if named == nil {
					continue
				}
				if !slices.ContainsFunc(container.VolumeMounts, func(mount core.VolumeMount) bool {
					return mount.ReadOnly && strings.HasPrefix(named[1], mount.MountPath+"/")
				}) {
					t.Errorf("%s: %s is in no volume that it only reads", container.Name, named[1])
				}
			}
		}
	})
}

// probes are those that a container has, by name.
func probes(container core.Container) map[string]*core.Probe {
	found := map[string]*core.Probe{}
	for name, probe := range map[string]*core.Probe{
		"startup":   container.StartupProbe,
		"liveness":  container.LivenessProbe,
		"readiness": container.ReadinessProbe,
	} {
		if probe != nil {
			found[name] = probe
		}
	}
	return found
}

// A service that serves from the start, whatever the models do: see docs/operations.md, "Health".
const process = "primase.models.v1.ModelService"

// asked is the service that a probe asks for, and an error where it does not ask as it should.
func asked(container core.Container, probe *core.Probe) (string, error) {
	port := int32(0)
	for _, open := range container.Ports {
		if open.Name == "grpc" {
			port = open.ContainerPort
		}
	}
	switch {
	case probe.GRPC != nil:
		if probe.GRPC.Port != port {
			return "", fmt.Errorf("port %d is not gRPC's, %d", probe.GRPC.Port, port)
		}
		if slices.ContainsFunc(container.Args, func(word string) bool { return strings.HasPrefix(word, "--tls-cert") }) {
			return "", fmt.Errorf("a probe by gRPC knows no TLS")
		}
		if probe.GRPC.Service == nil {
			return "", nil
		}
		return *probe.GRPC.Service, nil
	case probe.Exec != nil:
		words := probe.Exec.Command
		if len(words) < 3 || words[0] != "primase" || words[1] != "health" ||
			!slices.Contains(words, fmt.Sprintf("--server=localhost:%d", port)) {
			return "", fmt.Errorf("%v asks another", words)
		}
		for _, word := range words {
			if service, found := strings.CutPrefix(word, "--service="); found {
				return service, nil
			}
		}
		return "", nil
	}
	return "", fmt.Errorf("it does not ask by gRPC")
}

func TestProbesAskForHealth(t *testing.T) {
	services := regexp.MustCompile(`^(primase\.(esm2\.v1\.Esm2|evo2\.v1\.Evo2|progen2\.v1\.ProGen2)Service|primase\.models/.+)?$`)
	eachFile(t, goldenFolder+"/*.yaml", func(t *testing.T, all manifests) {
		for _, p := range pods(all) {
			for _, container := range p.spec.Containers {
				found := probes(container)
				if len(found) != 3 {
					t.Fatalf("%s: only %v", container.Name, found)
				}
				for name, probe := range found {
					service, err := asked(container, probe)
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if name == "readiness" {
						if !services.MatchString(service) {
							t.Errorf("%s: %q", name, service)
						}
					} else if service != process {
						t.Errorf("%s: %q waits for weights, and a pod that loads is killed", name, service)
					}
					if probe.TimeoutSeconds < 5 {
						t.Errorf("%s: %d s is short for a loaded machine", name, probe.TimeoutSeconds)
					}
				}
			}
		}
	})
}
