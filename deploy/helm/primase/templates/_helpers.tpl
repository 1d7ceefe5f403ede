{{- define "primase.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* 48 leave room for what is named after it */}}
{{- define "primase.fullname" -}}
{{- $name := include "primase.name" . }}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $whole .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- define "primase.selector" -}}
app.kubernetes.io/name: {{ include "primase.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "primase.labels" -}}
{{ include "primase.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "primase.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ default (printf "%s-%s" $.Chart.AppVersion (ternary "cuda" "cpu" (gt (int $.Values.gpu.count) 0))) .tag }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The names of the models that come from the hub. */}}
{{- define "primase.pulled" -}}
{{- range .Values.models }}{{ if hasSuffix "=hub" . }}{{ trimSuffix "=hub" . }} {{ end }}{{ end }}
{{- end }}

{{- define "primase.pulls" -}}
{{- if and .Values.pull.enabled (include "primase.pulled" . | trim) }}true{{ end }}
{{- end }}

{{- /* Threads of the models, empty where nothing tells the CPUs. */}}
{{- define "primase.threads" -}}
{{- $limits := .Values.resources.limits | default dict }}
{{- $requests := .Values.resources.requests | default dict }}
{{- $cpu := $limits.cpu | default $requests.cpu | default "" | toString }}
{{- $whole := hasSuffix "m" $cpu | ternary (div (trimSuffix "m" $cpu | int) 1000) (float64 $cpu | floor | int) | int }}
{{- if .Values.threads }}{{ .Values.threads }}
{{- else if $cpu }}{{ max 1 (sub $whole 1) }}
{{- end }}
{{- end }}

{{- define "primase.claim" -}}
{{- default (printf "%s-weights" (include "primase.fullname" .)) .Values.persistence.existingClaim }}
{{- end }}

{{- define "primase.keysSecret" -}}
{{- default (printf "%s-keys" (include "primase.fullname" .)) .Values.keys.existingSecret }}
{{- end }}

{{- define "primase.tlsSecret" -}}
{{- default (printf "%s-tls" (include "primase.fullname" .)) .Values.tls.existingSecret }}
{{- end }}

{{- /* How many replicas there are at least. */}}
{{- define "primase.leastReplicas" -}}
{{- .Values.autoscaler.enabled | ternary .Values.autoscaler.minReplicas .Values.replicas }}
{{- end }}

{{- /* A volume that the chart asks for, and that only one node has at a time. */}}
{{- define "primase.oneNode" -}}
{{- with .Values.persistence }}
{{- if and .enabled (not .existingClaim) (not (has "ReadWriteMany" .accessModes)) }}true{{ end }}
{{- end }}
{{- end }}

{{- /* How the kubelet asks for health: its own probe by gRPC knows no TLS. dict: root, service */}}
{{- define "primase.probe" -}}
{{- if .root.Values.tls.enabled -}}
exec:
  command:
    - primase
    - health
    - --server=localhost:{{ .root.Values.grpc.port }}
    {{- with .service }}
    - --service={{ . }}
    {{- end }}
    - --ca-file=/etc/primase/tls/ca.crt
    {{- if .root.Values.tls.clients }}
    - --cert-file=/etc/primase/tls/tls.crt
    - --key-file=/etc/primase/tls/tls.key
    {{- end }}
    - --timeout-s=5
{{- else -}}
grpc:
  port: {{ .root.Values.grpc.port }}
  {{- with .service }}
  service: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What the schema cannot say: values that do not go together. */}}
{{- define "primase.check" -}}
{{- with .Values }}
{{- if eq .image.tag "latest" }}
{{- fail "image.tag: latest is no version, and nobody could roll back to it" }}
{{- end }}
{{- $several := or (gt (int .replicas) 1) .autoscaler.enabled }}
{{- if and $several (include "primase.oneNode" $) }}
{{- fail "persistence.accessModes: more than one replica needs a volume of ReadWriteMany, or none" }}
{{- end }}
{{- if and .keys.enabled (not .keys.existingSecret) (not .keys.content) }}
{{- fail "keys: give existingSecret, or content as `primase keys new` writes it" }}
{{- end }}
{{- if and .keys.enabled .rest.tokenSecret.name }}
{{- fail "rest.tokenSecret: with keys, callers of REST send their key" }}
{{- end }}
{{- if and .tls.enabled (not .tls.existingSecret) (not (and .tls.certificate .tls.key .tls.ca)) }}
{{- fail "tls: give existingSecret, or certificate, key and ca" }}
{{- end }}
{{- if and .serviceMonitor.enabled (not .metrics.enabled) }}
{{- fail "serviceMonitor: it reads nothing where metrics.enabled is false" }}
{{- end }}
{{- $ports := list (int .grpc.port) }}
{{- if .rest.enabled }}{{ $ports = append $ports (int .rest.port) }}{{ end }}
{{- if .metrics.enabled }}{{ $ports = append $ports (int .metrics.port) }}{{ end }}
{{- if ne (len $ports) (len (uniq $ports)) }}
{{- fail (printf "grpc.port, rest.port and metrics.port: two are the same, of %v" $ports) }}
{{- end }}
{{- end }}
{{- end }}
