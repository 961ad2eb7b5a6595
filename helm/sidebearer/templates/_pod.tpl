{{/* The container and its volumes. For a pod of yours: `sidebearer.initContainer` and `sidebearer.volumes`. */}}
{{- define "sidebearer.container" -}}
name: sidebearer
image: {{ include "sidebearer.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/sidebearer/config.yaml]
ports:
  {{- if eq .Values.mode "gateway" }}
  - name: proxy
    containerPort: {{ include "sidebearer.proxyPort" . }}
    protocol: TCP
  {{- end }}
  - name: sb-telemetry
    containerPort: {{ include "sidebearer.telemetryPort" . }}
    protocol: TCP
{{- include "sidebearer.containerCommon" . }}
volumeMounts:
  - name: sidebearer-config
    mountPath: /etc/sidebearer
    readOnly: true
  {{- if .Values.sealKey.existingSecret }}
  - name: sidebearer-key
    mountPath: /var/run/secrets/sidebearer
    readOnly: true
  {{- end }}
  {{- $kind := dig "store" "kind" "kubernetes" .Values.config }}
  {{- if eq $kind "kubernetes" }}
  - name: sidebearer-account
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- end }}
  {{- if eq $kind "file" }}
  - name: sidebearer-store
    mountPath: /var/lib/sidebearer
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every container of ours has; begins with a line break. */}}
{{- define "sidebearer.containerCommon" }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  httpGet: { path: /startupz, port: sb-telemetry }
  {{- toYaml .Values.startupProbe | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: sb-telemetry }
  {{- toYaml .Values.readinessProbe | nindent 2 }}
livenessProbe:
  httpGet: { path: /livez, port: sb-telemetry }
  {{- toYaml .Values.livenessProbe | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/* A list with the native sidecar: it starts before the application's containers and ends after them. */}}
{{- define "sidebearer.initContainer" -}}
- restartPolicy: Always
  {{- include "sidebearer.container" . | nindent 2 }}
{{- end -}}

{{/* A list. The token of the service account is a volume of ours, so that only this container has it. */}}
{{- define "sidebearer.volumes" -}}
- name: sidebearer-config
  configMap:
    name: {{ include "sidebearer.fullname" . }}
{{- with .Values.sealKey.existingSecret }}
- name: sidebearer-key
  secret:
    secretName: {{ . }}
{{- end }}
{{- $kind := dig "store" "kind" "kubernetes" .Values.config }}
{{- if eq $kind "kubernetes" }}
- name: sidebearer-account
  projected:
    sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3600 }
      - configMap:
          name: kube-root-ca.crt
          items: [{ key: ca.crt, path: ca.crt }]
      - downwardAPI:
          items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }]
{{- end }}
{{- if eq $kind "file" }}
- name: sidebearer-store
  {{- if .Values.persistence.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
