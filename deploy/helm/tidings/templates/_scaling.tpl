{{/* How fast: up at once, down one pod at a time, since each change moves partitions. */}}
{{- define "tidings.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 30
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- end -}}

{{/* What tells how far a group is behind on a topic. Takes {root, group, topic, threshold}. */}}
{{- define "tidings.lagTrigger" -}}
{{- $kafka := .root.Values.settings.kafka -}}
{{- $protocol := default "PLAINTEXT" $kafka.security_protocol -}}
{{- $mechanisms := dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512" "OAUTHBEARER" "oauthbearer" -}}
- type: kafka
  metricType: AverageValue
  metadata:
    bootstrapServers: {{ $kafka.bootstrap_servers | quote }}
    consumerGroup: {{ .group }}
    topic: {{ .topic }}
    lagThreshold: {{ .threshold | int | quote }}
    # As the worker: a group without offsets begins at the beginning.
    offsetResetPolicy: earliest
    # Transaction markers leave a lag of 1 on each partition for ever; it must not keep pods busy, nor may it be taken out by
    # excludePersistentLag, which would hide a partition that is stuck (kedacore/keda issue 5675).
    activationLagThreshold: {{ $kafka.partitions | int | quote }}
    # More pods than partitions have nothing to do.
    allowIdleConsumers: "false"
    {{- if contains "SSL" $protocol }}
    tls: enable
    {{- end }}
    {{- if contains "SASL" $protocol }}
    {{- if eq (default "PLAIN" $kafka.sasl_mechanism) "OAUTHBEARER" }}
    {{- fail "autoscaling.mode keda: its Kafka scaler cannot sign in by OAUTHBEARER as the worker does: use hpa" }}
    {{- end }}
    {{- range $path := list "kafka.sasl_username" "kafka.sasl_password" }}
    {{- if not (hasKey $.root.Values.secretSettings $path) }}
    {{- fail (printf "autoscaling.mode keda: its Kafka scaler signs in by Secrets alone: put %s into secretSettings" $path) }}
    {{- end }}
    {{- end }}
    sasl: {{ get $mechanisms (default "PLAIN" $kafka.sasl_mechanism) }}
    {{- end }}
  {{- if include "tidings.kedaSecrets" .root }}
  authenticationRef:
    name: {{ include "tidings.fullname" .root }}-kafka
  {{- end }}
{{- end -}}

{{- define "tidings.kedaSecrets" -}}
{{- $root := . -}}
{{- range $path, $parameter := dict "kafka.sasl_username" "username" "kafka.sasl_password" "password" -}}
{{- with get $root.Values.secretSettings $path }}
- parameter: {{ $parameter }}
  name: {{ .name }}
  key: {{ .key }}
{{- end }}
{{- end }}
{{- $tls := .Values.tls.kafka }}
{{- if $tls.secretName }}
{{- range $parameter, $key := dict "ca" $tls.ca "cert" $tls.certificate "key" $tls.key }}
{{- if $key }}
- parameter: {{ $parameter }}
  name: {{ $tls.secretName }}
  key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
