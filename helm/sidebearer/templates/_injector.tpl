{{/* `sidebearer inject`: the container, its volume and its names. It reads no Kubernetes API and has no token for it. */}}
{{- define "sidebearer.injectorContainer" -}}
name: sidebearer
image: {{ include "sidebearer.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - inject
  - --listen=0.0.0.0:9443
  - --tls-cert=/var/run/secrets/webhook/tls.crt
  - --tls-key=/var/run/secrets/webhook/tls.key
  - --telemetry=0.0.0.0:9464
  - --image={{ include "sidebearer.image" . }}
  - --image-pull-policy={{ .Values.image.pullPolicy }}
  - --keys-secret={{ .Values.injector.keysSecret }}
  - --log-level={{ .Values.injector.logLevel }}
ports:
  - name: webhook
    containerPort: 9443
    protocol: TCP
  - name: sb-telemetry
    containerPort: 9464
    protocol: TCP
{{- include "sidebearer.containerCommon" . }}
volumeMounts:
  - name: webhook-tls
    mountPath: /var/run/secrets/webhook
    readOnly: true
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A list. The whole Secret, as a folder: kubelet swaps a renewed certificate in, and the webhook takes it. */}}
{{- define "sidebearer.injectorVolumes" -}}
- name: webhook-tls
  secret:
    secretName: {{ include "sidebearer.injectorSecret" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sidebearer.injectorSecret" -}}
{{- default (printf "%s-tls" (include "sidebearer.fullname" .)) .Values.injector.tls.existingSecret -}}
{{- end -}}

{{/* As the API server calls it, and as its certificate must name it. */}}
{{- define "sidebearer.injectorHost" -}}
{{ include "sidebearer.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}
