{{/* What every pod of the chart has: no token, no service links, the restricted profile. Takes {root, component}. */}}
{{- define "tidings.podBase" -}}
serviceAccountName: {{ include "tidings.serviceAccount" .root }}
automountServiceAccountToken: false
# A Service named tidings-triton would set TIDINGS_TRITON_PORT, which is no setting, and the worker refuses what it does not know.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.podSecurity.runAsUser }}
  runAsGroup: {{ .root.Values.podSecurity.runAsUser }}
  fsGroup: {{ .root.Values.podSecurity.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "tidings.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where it runs. Takes {root, component, role}. */}}
{{- define "tidings.placement" -}}
{{- with .role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if .role.affinity }}
  {{- toYaml .role.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "tidings.selector" . | nindent 14 }}
  {{- end }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "tidings.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Volumes and mounts of anything that runs the program `tidings`. */}}
{{- define "tidings.workerVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
- name: settings
  configMap:
    name: {{ include "tidings.fullname" . }}-settings
- name: watchlist
  configMap:
    name: {{ include "tidings.fullname" . }}-watchlist
- name: rules
  configMap:
    name: {{ include "tidings.fullname" . }}-rules
{{- if .Values.notify.enabled }}
- name: notify
  configMap:
    name: {{ include "tidings.fullname" . }}-notify
{{- with .Values.notify.receiversSecretName }}
- name: receivers
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- range $part, $tls := .Values.tls }}
{{- if $tls.secretName }}
- name: tls-{{ $part }}
  secret:
    secretName: {{ $tls.secretName }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- if .Values.kafkaToken.enabled }}
- name: kafka-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .Values.kafkaToken.audience }}
          expirationSeconds: {{ .Values.kafkaToken.expirationSeconds }}
{{- end }}
{{- end -}}

{{/* Folders, not files with subPath: the kubelet brings a changed ConfigMap into a mounted folder only. */}}
{{- define "tidings.workerMounts" -}}
- name: tmp
  mountPath: /tmp
- name: settings
  mountPath: /etc/tidings/settings
  readOnly: true
- name: watchlist
  mountPath: /etc/tidings/watchlist
  readOnly: true
- name: rules
  mountPath: /etc/tidings/rules
  readOnly: true
{{- if .Values.notify.enabled }}
- name: notify
  mountPath: /etc/tidings/notify
  readOnly: true
{{- if .Values.notify.receiversSecretName }}
- name: receivers
  mountPath: /etc/tidings/receivers
  readOnly: true
{{- end }}
{{- end }}
{{- range $part, $tls := .Values.tls }}
{{- if $tls.secretName }}
- name: tls-{{ $part }}
  mountPath: /etc/tidings/tls/{{ $part }}
  readOnly: true
{{- end }}
{{- end }}
{{- if .Values.kafkaToken.enabled }}
- name: kafka-token
  mountPath: /var/run/secrets/kafka
  readOnly: true
{{- end }}
{{- end -}}
