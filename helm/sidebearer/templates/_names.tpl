{{/* Names and labels: the common convention. `toYaml` quotes a name where YAML would take it for a number. */}}
{{- define "sidebearer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidebearer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "sidebearer.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sidebearer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sidebearer.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end -}}

{{/* Each key once, and those of selectors as they are, whatever was given. Call: dict "root" $, and at will "more" DICT */}}
{{- define "sidebearer.labels" -}}
{{- $chart := .root.Chart -}}
{{- $standard := dict "app.kubernetes.io/version" $chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $standard "helm.sh/chart" (printf "%s-%s" $chart.Name $chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $selecting := include "sidebearer.selectorLabels" .root | fromYaml -}}
{{- toYaml (merge $selecting (default dict .more) .root.Values.commonLabels $standard) -}}
{{- end -}}

{{/* metadata of everything. Call: dict "root" $ "name" NAME, and at will "namespace" NAME "isClusterWide" true "labels" DICT "annotations" DICT */}}
{{- define "sidebearer.metadata" -}}
name: {{ .name | toYaml }}
{{- if not .isClusterWide }}
namespace: {{ default .root.Release.Namespace .namespace | toYaml }}
{{- end }}
labels:
  {{- include "sidebearer.labels" (dict "root" .root "more" .labels) | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* For a pod of yours in sidecar mode, too. */}}
{{- define "sidebearer.serviceAccountName" -}}
{{- default (ternary (include "sidebearer.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "sidebearer.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry (dig "imageRegistry" "" (default dict .Values.global)) -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}
