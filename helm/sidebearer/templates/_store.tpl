{{/*
What the pods of one namespace need to keep tokens in its Secrets.
Both calls: dict "root" $ "name" NAME "namespace" NAME "prefix" secretPrefix "credentials" LIST "subjects" LIST
*/}}

{{/* Exactly what the store does with exactly its objects: no list, no create, no delete. */}}
{{- define "sidebearer.storeRole" -}}
{{- $metadata := include "sidebearer.metadata" (dict "root" .root "name" .name "namespace" .namespace) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- $metadata | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames:
      {{- range .credentials }}
      - {{ $.prefix }}{{ . }}
      - {{ $.prefix }}{{ . }}-logins
      {{- end }}
    verbs: [get, watch, update]
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames:
      {{- range .credentials }}
      - {{ $.prefix }}{{ . }}
      {{- end }}
    verbs: [get, update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- $metadata | nindent 2 }}
subjects:
  {{- range .subjects }}
  - kind: ServiceAccount
    name: {{ .name | toYaml }}
    namespace: {{ .namespace | toYaml }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name | toYaml }}
{{- end -}}

{{/*
Empty, in every revision alike. Never with data, not even with what `lookup` finds: a token that rotates between the
rendering and the apply would be set back to one that is spent. And never left out where they are there already: a
rollback to a revision that has them would take that for a removal of their data (docs/decisions/010-empty-secrets.md).
*/}}
{{- define "sidebearer.storeObjects" -}}
{{- $keep := dict "helm.sh/resource-policy" "keep" "argocd.argoproj.io/sync-options" "Prune=false,Delete=false" -}}
{{- range $credential := .credentials }}
{{- $name := printf "%s%s" $.prefix $credential }}
{{- range $secret := list $name (printf "%s-logins" $name) }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "sidebearer.metadata" (dict "root" $.root "name" $secret "namespace" $.namespace "annotations" $keep) | nindent 2 }}
type: Opaque
{{- end }}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  {{- include "sidebearer.metadata" (dict "root" $.root "name" $name "namespace" $.namespace "annotations" $keep) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same for the configuration of this release; `fromYaml` it. */}}
{{- define "sidebearer.storePlace" -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
name: {{ include "sidebearer.fullname" . | toYaml }}
namespace: {{ include "sidebearer.storeNamespace" . | toYaml }}
prefix: {{ $config.store.secretPrefix | toYaml }}
credentials:
  {{- keys (default dict $config.credentials) | sortAlpha | toYaml | nindent 2 }}
subjects:
  - name: {{ include "sidebearer.serviceAccountName" . | toYaml }}
    namespace: {{ .Release.Namespace | toYaml }}
{{- end -}}

{{/* Whether this release has a configuration whose tokens are in Secrets: text, empty for no. */}}
{{- define "sidebearer.hasStore" -}}
{{- if ne .Values.mode "injector" -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
{{- if eq $config.store.kind "kubernetes" }}yes{{ end -}}
{{- end -}}
{{- end -}}
