{{/*
tidings.yaml: the values' settings, and over them what the chart alone can know. A setting of the chart's own is refused in the
values rather than silently overridden.
*/}}
{{- define "tidings.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- range $path, $why := dict "ops.host" "probes come from outside the pod" "model.repository" "the chart mounts it" "score.watchlist" "use watchlist" "score.background" "it comes with the model repository" "alert.rules" "use rules" "notify.config" "use notify.config of the values" -}}
{{- $parts := splitList "." $path -}}
{{- if hasKey (default dict (get $settings (first $parts))) (last $parts) -}}
{{- fail (printf "settings.%s is the chart's own: %s" $path $why) -}}
{{- end -}}
{{- end -}}
{{- $own := dict
  "ops" (dict "host" "0.0.0.0")
  "model" (dict "repository" "/models")
  "score" (dict "watchlist" "/etc/tidings/watchlist/watchlist.yaml")
  "alert" (dict "rules" "/etc/tidings/rules/rules.yaml") -}}
{{- if .Values.notify.enabled -}}
{{- $_ := set $own "notify" (dict "config" "/etc/tidings/notify/notify.yaml") -}}
{{- end -}}
{{- if and .Values.triton.enabled (not (dig "triton" "url" "" $settings)) -}}
{{- $_ := set $own "triton" (dict "url" (include "tidings.tritonAddress" .)) -}}
{{- end -}}
{{- range $part, $tls := .Values.tls -}}
{{- if $tls.secretName -}}
{{- $files := dict -}}
{{- range $name, $key := dict "ssl_ca_location" $tls.ca "ssl_certificate_location" $tls.certificate "ssl_key_location" $tls.key -}}
{{- if $key -}}{{- $_ := set $files $name (printf "/etc/tidings/tls/%s/%s" $part $key) -}}{{- end -}}
{{- end -}}
{{- $own = mergeOverwrite $own (dict $part $files) -}}
{{- end -}}
{{- end -}}
{{- if .Values.kafkaToken.enabled -}}
{{- $own = mergeOverwrite $own (dict "kafka" (dict "oauth_token_file" "/var/run/secrets/kafka/token")) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $settings $own) -}}
{{- end -}}

{{/* Environment: the file above, and secrets by reference. */}}
{{- define "tidings.env" -}}
- name: TIDINGS_CONFIG
  value: /etc/tidings/settings/tidings.yaml
{{- range $path, $secret := .Values.secretSettings }}
- name: TIDINGS_{{ $path | replace "." "__" | upper }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- end -}}

{{- define "tidings.drainSeconds" -}}
{{- add (int .Values.settings.ops.shutdown_timeout_s) (int .Values.terminationSlackSeconds) -}}
{{- end -}}
