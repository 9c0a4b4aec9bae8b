{{- define "tidings.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidings.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "tidings.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidings.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes between versions: selectors. Takes {root, component}. */}}
{{- define "tidings.selector" -}}
app.kubernetes.io/name: {{ include "tidings.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tidings.labels" -}}
{{ include "tidings.selector" . }}
app.kubernetes.io/part-of: tidings
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tidings.image" -}}
{{- $tag := default .fallback .image.tag -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}{{- else -}}{{ .image.repository }}:{{ $tag }}{{- end -}}
{{- end -}}

{{- define "tidings.workerImage" -}}
{{- include "tidings.image" (dict "image" .Values.image "fallback" .Chart.AppVersion) -}}
{{- end -}}

{{- define "tidings.tritonImage" -}}
{{- include "tidings.image" (dict "image" .Values.triton.image "fallback" "") -}}
{{- end -}}

{{- define "tidings.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidings.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name one that is there, or let the chart create it" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidings.modelsClaim" -}}
{{- default (printf "%s-models" (include "tidings.fullname" .)) .Values.model.pvc.claimName -}}
{{- end -}}

{{- define "tidings.enginesClaim" -}}
{{- default (printf "%s-engines" (include "tidings.fullname" .)) .Values.triton.tensorrt.claimName -}}
{{- end -}}

{{/* The host name is the headless service's: it resolves to every ready pod, and the worker's gRPC spreads requests over them. */}}
{{- define "tidings.tritonAddress" -}}
{{ include "tidings.fullname" . }}-triton.{{ .Release.Namespace }}.svc:8001
{{- end -}}
