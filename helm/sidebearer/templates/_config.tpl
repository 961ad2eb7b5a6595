{{/* The configuration with what the chart adds; read by `include … | fromYaml`. What was given always wins. */}}
{{- define "sidebearer.config" -}}
{{- $given := .Values.config -}}
{{- $kind := dig "store" "kind" "kubernetes" $given -}}
{{- $store := dict "kind" $kind -}}
{{- if eq $kind "kubernetes" -}}
{{- $_ := set $store "secretPrefix" (printf "%s-" (include "sidebearer.fullname" .)) -}}
{{- end -}}
{{- if eq $kind "file" -}}
{{- /* Below the mount, whose own folder belongs to root: the store wants one of its user's. */ -}}
{{- $_ := set $store "path" "/var/lib/sidebearer/store" -}}
{{- end -}}
{{- if .Values.sealKey.existingSecret -}}
{{- $_ := set $store "keys" (list (printf "${file:/var/run/secrets/sidebearer/%s}" .Values.sealKey.key)) -}}
{{- end -}}
{{- $added := dict "store" $store -}}
{{- if eq .Values.mode "gateway" -}}
{{- /* Endpoints hear of a pod's end a moment after it: what still comes until then is served. */ -}}
{{- $added = merge $added (dict "listen" (dict "proxy" "0.0.0.0:8080") "shutdown" (dict "minDrain" "5s")) -}}
{{- end -}}
{{- $config := mergeOverwrite $added (deepCopy $given) -}}
{{- /* Helm reads `off` as the boolean of YAML 1.1; the setting is the word. */ -}}
{{- if eq "false" (dig "listen" "oauth" "" $config | toString) -}}
{{- $_ := set $config.listen "oauth" "off" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
Annotations of a pod: what has to change for it to be replaced. A running process takes the rest by itself; docs/config.md
marks what needs a restart, and a test holds this list against it. For a pod of yours, too.
*/}}
{{- define "sidebearer.podAnnotations" -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
{{- $fixed := dict "store" (omit $config.store "keys" "tls") -}}
{{- $_ := set $fixed "listen" (pick (default dict $config.listen) "proxy" "oauth" "telemetry") -}}
{{- $_ := set $fixed "headerBytes" (dig "limits" "headerBytes" "" $config) -}}
{{- $_ := set $fixed "format" (dig "log" "format" "" $config) -}}
checksum/sidebearer: {{ .Values.rollOnConfigChange | ternary $config $fixed | toYaml | sha256sum }}
{{- end -}}

{{/* Port of a listener. Call: dict "root" $ "listener" "proxy" "default" "127.0.0.1:8080" */}}
{{- define "sidebearer.port" -}}
{{- $config := include "sidebearer.config" .root | fromYaml -}}
{{- $address := dig "listen" .listener .default $config -}}
{{- $host := regexReplaceAll ":[0-9]+$" $address "" -}}
{{- if or (not (regexMatch ":[0-9]+$" $address)) (has $host (list "127.0.0.1" "localhost" "[::1]")) -}}
{{- fail (printf "config.listen.%s is %s: %s" .listener $address .why) -}}
{{- end -}}
{{- regexFind "[0-9]+$" $address -}}
{{- end -}}

{{- define "sidebearer.telemetryPort" -}}
{{- include "sidebearer.port" (dict "root" . "listener" "telemetry" "default" "0.0.0.0:9464" "why" "kubelet's probes come by the pod's address, so give it as 0.0.0.0:PORT") -}}
{{- end -}}

{{- define "sidebearer.proxyPort" -}}
{{- include "sidebearer.port" (dict "root" . "listener" "proxy" "default" "127.0.0.1:8080" "why" "the gateway's Service reaches the pod's address alone, so give it as 0.0.0.0:PORT") -}}
{{- end -}}

{{- define "sidebearer.storeNamespace" -}}
{{- default .Release.Namespace (dig "store" "namespace" "" .Values.config) -}}
{{- end -}}
