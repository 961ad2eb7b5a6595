{{/* What helm says at the end, in injector mode and in the others. */}}
{{- define "sidebearer.injectorNotes" -}}
Pods with the annotation sidebearer.dev/inject get the sidecar, in every namespace but {{ append .Values.injector.excludedNamespaces .Release.Namespace | uniq | join ", " }}{{ if .Values.injector.namespaceSelector }} that injector.namespaceSelector takes{{ end }}:

  metadata:
    annotations:
      sidebearer.dev/inject: CONFIGMAP         # of the pod's namespace; its config.yaml is the configuration
      sidebearer.dev/env: OPENAI_BASE_URL      # variables that get http://127.0.0.1:8080

A pod's annotation sidebearer.dev/status says what came of it; all annotations are in docs/injection.md.
{{- if not .Values.injector.namespaces }}
No namespace has the Secrets that keep tokens yet: name it in injector.namespaces, or install this chart there with mode: sidecar.
{{- end }}
{{- range .Values.injector.namespaces }}

Namespace {{ .name }}: the key that seals its tokens, once; where it is missing the pods wait for it:

  kubectl -n {{ .name }} create secret generic {{ $.Values.injector.keysSecret }} --from-literal=key="$(openssl rand -base64 32)"

and a login for all its pods ({{ join ", " .credentials }}):

  kubectl -n {{ .name }} port-forward POD 1455   # then open http://localhost:1455/
{{- end }}
{{- end -}}

{{- define "sidebearer.configNotes" -}}
{{- $full := include "sidebearer.fullname" . -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
{{- /* What no person logs in for spends no refresh token either. */ -}}
{{- $needsLogin := false -}}
{{- range $name, $credential := $config.credentials -}}
{{- $grant := toString (default "authorization_code" $credential.grant) -}}
{{- if and (ne (toString $credential.provider) "file") (has $grant (list "authorization_code" "device_code")) -}}
{{- $needsLogin = true -}}
{{- end -}}
{{- end -}}
{{- $oauth := dig "listen" "oauth" "127.0.0.1:1455" $config | toString -}}
{{- $port := regexFind "[0-9]+$" $oauth -}}
{{- if eq .Values.mode "gateway" -}}
Sidebearer serves http://{{ $full }}.{{ .Release.Namespace }}{{ if ne (int .Values.service.port) 80 }}:{{ .Values.service.port }}{{ end }}/ inside the cluster.
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.clients) }}
Nobody may reach it yet: name its clients in networkPolicy.clients.
{{- end }}
{{- if and $needsLogin (eq $config.store.kind "file") (not .Values.persistence.existingClaim) }}
Its tokens end with its pod: set persistence.existingClaim, or use store.kind kubernetes.
{{- end }}
{{- if and $needsLogin (eq $config.store.kind "memory") }}
Its tokens end with its process: use store.kind kubernetes.
{{- end }}
{{- else -}}
Sidecar mode: what your pods need is in place. Your chart includes sidebearer.initContainer and sidebearer.volumes
(docs/kubernetes.md); the application calls http://{{ dig "listen" "proxy" "127.0.0.1:8080" $config }}.
{{- end }}
{{- if not $needsLogin }}
{{- else if eq $oauth "off" }}

Logins are off (config.listen.oauth).
{{- else }}

Log in once, for all replicas:

  kubectl -n {{ .Release.Namespace }} port-forward {{ if eq .Values.mode "gateway" }}deployment/{{ $full }}{{ else }}POD{{ end }} {{ $port }}

and open http://localhost:{{ $port }}/
{{- end }}
{{- with .Values.sealKey.existingSecret }}

The key that seals the tokens is the Secret {{ . }}; where it is missing the pods wait for it:

  kubectl -n {{ $.Release.Namespace }} create secret generic {{ . }} --from-literal={{ $.Values.sealKey.key }}="$(openssl rand -base64 32)"
{{- end }}
{{- end -}}
