{{/*
The model repository of a pod, at /models. Takes {root, own, without, wait}: `own` asks for a copy that may be written to, `without`
are the files that a copy leaves out, `wait` asks to wait until a model is there.
*/}}
{{- define "tidings.modelsVolumes" -}}
{{- $model := .root.Values.model -}}
{{- if and (eq $model.source "image") (semverCompare "<1.33-0" .root.Capabilities.KubeVersion.Version) -}}
{{- fail "model.source: image needs Kubernetes 1.33 or later, with the feature gate ImageVolume before 1.35: use pvc or s3" -}}
{{- end -}}
{{- $copied := or .own (eq $model.source "s3") -}}
{{- if $copied }}
- name: models
  emptyDir: {}
{{- end }}
{{- if eq $model.source "pvc" }}
- name: {{ $copied | ternary "repository" "models" }}
  persistentVolumeClaim:
    claimName: {{ include "tidings.modelsClaim" .root }}
    readOnly: true
{{- else if eq $model.source "image" }}
- name: {{ $copied | ternary "repository" "models" }}
  image:
    reference: {{ required "model.image.reference: name the image with the model repository" $model.image.reference }}
    pullPolicy: {{ $model.image.pullPolicy }}
{{- end }}
{{- end -}}

{{- define "tidings.modelsMount" -}}
{{- $model := .root.Values.model -}}
- name: models
  mountPath: /models
  {{- if and (eq $model.source "image") (not .own) $model.image.subPath }}
  subPath: {{ $model.image.subPath }}
  {{- end }}
  readOnly: true
{{- end -}}

{{/* The init containers that make the copy; none where the source itself is mounted. */}}
{{- define "tidings.modelsInit" -}}
{{- $model := .root.Values.model -}}
{{- if eq $model.source "s3" }}
- name: fetch-models
  image: {{ $model.s3.image }}
  args:
    - s3
    - sync
    {{- range .without }}
    - --exclude
    - {{ . | quote }}
    {{- end }}
    - --no-progress
    {{- with $model.s3.endpoint }}
    - --endpoint-url
    - {{ . }}
    {{- end }}
    - {{ required "model.s3.uri: name the folder with the model repository, s3://bucket/folder" $model.s3.uri }}
    - /models
  env:
    - name: HOME
      value: /tmp
    {{- with $model.s3.region }}
    - name: AWS_REGION
      value: {{ . }}
    {{- end }}
  {{- with $model.s3.secretName }}
  envFrom:
    - secretRef:
        name: {{ . }}
  {{- end }}
  securityContext:
    {{- include "tidings.containerSecurity" .root | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: models
      mountPath: /models
{{- else if or .own .wait }}
- name: {{ .own | ternary "copy-models" "wait-for-models" }}
  image: {{ include "tidings.tritonImage" .root }}
  imagePullPolicy: {{ .root.Values.triton.image.pullPolicy }}
  # A claim may still be empty, and Triton does not look again.
  command: [bash, -euc]
  args:
    - |
      until [[ -s /repository/{{ dig "model" "name" "sentiment" .root.Values.settings }}/contract.json ]]; do sleep 5; done
      {{- if .own }}
      cp -R --dereference /repository/. /models
      {{- end }}
  securityContext:
    {{- include "tidings.containerSecurity" .root | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 512Mi}
  volumeMounts:
    - name: {{ .own | ternary "repository" "models" }}
      mountPath: /repository
      {{- if and (eq $model.source "image") $model.image.subPath }}
      subPath: {{ $model.image.subPath }}
      {{- end }}
      readOnly: true
    {{- if .own }}
    - name: models
      mountPath: /models
    {{- end }}
{{- end }}
{{- end -}}

{{/* Builds the engine for the GPU that the pod has got, or takes it from the cache. */}}
{{- define "tidings.enginesInit" -}}
- name: build-engines
  image: {{ include "tidings.tritonImage" . }}
  imagePullPolicy: {{ .Values.triton.image.pullPolicy }}
  command: [bash, -euc]
  args:
    - |
      model=/models/{{ dig "model" "name" "sentiment" .Values.settings }}
      bash /etc/tidings/tensorrt/build-engine.sh "$model" /cache
      # Which versions serve is the repository's to say (`tidings promote --beside`), all else is the engines'.
      policy=$(sed -n '/^version_policy/,/^}/p' "$model/config.pbtxt")
      { sed '/^version_policy/,/^}/d' /etc/tidings/tensorrt/config.pbtxt; echo "$policy"; } >/tmp/config.pbtxt
      cp /tmp/config.pbtxt "$model/config.pbtxt"
  securityContext:
    {{- include "tidings.containerSecurity" . | nindent 4 }}
  resources:
    {{- include "tidings.tritonResources" . | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    - name: models
      mountPath: /models
    - name: engines
      mountPath: /cache
    - name: tensorrt
      mountPath: /etc/tidings/tensorrt
      readOnly: true
{{- end -}}

{{- define "tidings.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- if .Values.triton.gpus -}}
{{- $gpus := dict .Values.triton.gpuResource (int .Values.triton.gpus) -}}
{{- $_ := set $resources "limits" (merge (default dict $resources.limits) $gpus) -}}
{{- $_ := set $resources "requests" (merge (default dict $resources.requests) $gpus) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
