{{/* Whole seconds of a duration of the configuration, rounded up. Call: dict "value" "25s" "setting" "shutdown.maxDrain" */}}
{{- define "sidebearer.seconds" -}}
{{- $text := toString .value -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "config.%s is %s: the chart cannot tell how long that is, so set terminationGracePeriodSeconds" .setting $text) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- ceil (mulf (float64 $number) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0) $unit)) -}}
{{- end -}}

{{/*
How long a pod with this container may take to end: requests (shutdown), then a redeem that was sent (refresh.timeout)
and its commit (5 s), and 5 s more. kubelet ends native sidecars last, within what the application left of it.
*/}}
{{- define "sidebearer.terminationGracePeriodSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- $config := include "sidebearer.config" . | fromYaml -}}
{{- $min := include "sidebearer.seconds" (dict "value" (dig "shutdown" "minDrain" "0s" $config) "setting" "shutdown.minDrain") | int -}}
{{- $max := include "sidebearer.seconds" (dict "value" (dig "shutdown" "maxDrain" "25s" $config) "setting" "shutdown.maxDrain") | int -}}
{{- $redeem := 0 -}}
{{- range $name, $credential := $config.credentials -}}
{{- if ne (toString $credential.provider) "file" -}}
{{- $setting := printf "credentials.%s.refresh.timeout" $name -}}
{{- $redeem = max $redeem (include "sidebearer.seconds" (dict "value" (dig "refresh" "timeout" "30s" $credential) "setting" $setting) | int) -}}
{{- end -}}
{{- end -}}
{{- add (max $min $max) $redeem 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
