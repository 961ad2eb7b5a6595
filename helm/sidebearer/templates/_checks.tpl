{{/*
What cannot work fails here, with the reason, before anything is installed. Old key → what to use: a row for each key
that a version of this chart took away, and for names that other charts use. The schema lets these keys through.
*/}}
{{- define "sidebearer.removed" -}}
replicas: replicaCount
existingSecret: sealKey.existingSecret
pdb: podDisruptionBudget
hpa: autoscaling
serviceMonitor: podMonitor
{{- end -}}

{{- define "sidebearer.checks" -}}
{{- range $old, $new := include "sidebearer.removed" . | fromYaml -}}
{{- if hasKey $.Values $old -}}
{{- fail (printf "the value %s does not exist (any more): use %s" $old $new) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "injector" -}}
{{- include "sidebearer.injectorChecks" . -}}
{{- else -}}
{{- include "sidebearer.configChecks" . -}}
{{- end -}}
{{- end -}}

{{- define "sidebearer.injectorChecks" -}}
{{- if .Values.config -}}
{{- fail "config has no meaning in injector mode: the configuration is a ConfigMap of each pod's namespace, which the annotation sidebearer.dev/inject names" -}}
{{- end -}}
{{- $tls := .Values.injector.tls -}}
{{- if and $tls.certManager.enabled (or $tls.existingSecret $tls.caBundle) -}}
{{- fail "injector.tls.certManager makes the certificate and tells the API server its authority: leave injector.tls.existingSecret and injector.tls.caBundle empty" -}}
{{- end -}}
{{- if not (or $tls.certManager.enabled (and $tls.existingSecret $tls.caBundle)) -}}
{{- fail (printf "the API server calls the webhook by TLS alone: set injector.tls.existingSecret (a Secret with tls.crt and tls.key for %s) and injector.tls.caBundle (the authority of it), or injector.tls.certManager.enabled" (include "sidebearer.injectorHost" .)) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range .Values.injector.namespaces -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "injector.namespaces names %s twice: give one entry all its credentials, or install a release in mode sidecar there" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.certManager.issuerRef.name) -}}
{{- fail "injector.tls.certManager.issuerRef.name is required: the Issuer that signs the webhook's certificate" -}}
{{- end -}}
{{- end -}}

{{- define "sidebearer.configChecks" -}}
{{- $given := .Values.config -}}
{{- if not (and $given.routes $given.credentials) -}}
{{- fail "config.routes and config.credentials are required: they are Sidebearer's configuration, see docs/config.md" -}}
{{- end -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
{{- $kind := $config.store.kind -}}
{{- if and (not .Values.sealKey.existingSecret) (ne $kind "memory") (not $config.store.plaintext) (not $config.store.keys) -}}
{{- fail "sealKey.existingSecret is required: the Secret with the key that seals the tokens. Make one with: kubectl create secret generic sidebearer-key --from-literal=key=\"$(openssl rand -base64 32)\"" -}}
{{- end -}}
{{- if has $kind (list "memory" "file") -}}
{{- $reason := "" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $reason = "in sidecar mode, where every pod has a store of its own" -}}
{{- else if .Values.autoscaling.enabled -}}
{{- $reason = "with autoscaling, where every pod has a store of its own" -}}
{{- else if gt (int .Values.replicaCount) 1 -}}
{{- $reason = printf "with %d replicas, where every pod has a store of its own" (int .Values.replicaCount) -}}
{{- end -}}
{{- range $name, $credential := $config.credentials -}}
{{- $grant := toString (default "authorization_code" $credential.grant) -}}
{{- if and $reason (ne (toString $credential.provider) "file") (has $grant (list "authorization_code" "device_code" "refresh_token")) -}}
{{- fail (printf "credential %s has the grant %s, whose refresh token serves once, and store.kind is %s %s: two pods would burn the token and log everyone out. Use store.kind kubernetes (the chart's default), or one replica in gateway mode" $name $grant $kind $reason) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "gateway") .Values.autoscaling.enabled -}}
{{- include "sidebearer.autoscalingChecks" .Values.autoscaling -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (eq .Values.mode "sidecar") (not .Values.podMonitor.matchLabels) -}}
{{- fail "podMonitor.matchLabels is required in sidecar mode: the labels of your pods" -}}
{{- end -}}
{{- end -}}

{{- define "sidebearer.autoscalingChecks" -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas is %d and autoscaling.maxReplicas %d: the fewest pods are not more than the most" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if not (or .targetCPUUtilizationPercentage .metrics) -}}
{{- fail "autoscaling has nothing to go by, and Kubernetes would take CPU at 80 %: set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics" -}}
{{- end -}}
{{- end -}}
