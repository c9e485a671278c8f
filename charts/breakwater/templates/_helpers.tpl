{{/* Names ------------------------------------------------------------------------------------------------------- */}}

{{- define "breakwater.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for "-operator" and "-test" in the 63 characters of a label or a Service name. */}}
{{- define "breakwater.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- end }}

{{- define "breakwater.operatorName" -}}
{{ include "breakwater.fullname" . }}-operator
{{- end }}

{{- define "breakwater.serviceAccountName" -}}
{{- if .Values.operator.serviceAccount.create }}
{{- default (include "breakwater.operatorName" .) .Values.operator.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.operator.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Where the demo lives. An operator that watches another namespace would never see an experiment on it. */}}
{{- define "breakwater.demoNamespace" -}}
{{- $watched := .Values.operator.namespace }}
{{- $demo := default (default .Release.Namespace $watched) .Values.demo.namespace }}
{{- if and $watched .Values.demo.enabled (ne $demo $watched) }}
{{- fail (printf "demo.namespace is %q, but the operator watches only %q (operator.namespace): set both to the same, or demo.enabled=false" $demo $watched) }}
{{- end }}
{{- $demo }}
{{- end }}

{{/* REGISTRY/REPOSITORY/NAME:TAG of one of the three images; takes (dict "root" $ "name" "operator"). */}}
{{- define "breakwater.image" -}}
{{- $image := .root.Values.image }}
{{- printf "%s/%s/%s:%s" $image.registry $image.repository .name (default .root.Chart.AppVersion $image.tag) }}
{{- end }}

{{/* Labels; all take (dict "root" $ "component" "operator") -------------------------------------------------------- */}}

{{- define "breakwater.selectorLabels" -}}
app.kubernetes.io/name: {{ include "breakwater.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "breakwater.labels" -}}
{{ include "breakwater.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: breakwater
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The demo's objects also have the short label that experiments select by. */}}
{{- define "breakwater.demoLabels" -}}
app: {{ .component }}
{{ include "breakwater.labels" . }}
{{- end }}

{{/* Pods --------------------------------------------------------------------------------------------------------- */}}

{{/* A pod's labels and annotations; takes (dict "labels" TEXT "workload" VALUES). What the user adds never replaces ours. */}}
{{- define "breakwater.podMetadata" -}}
labels:
  {{- merge (fromYaml .labels) .workload.podLabels | toYaml | nindent 2 }}
{{- with .workload.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
What every pod has; takes (dict "root" $ "workload" VALUES): the "restricted" pod security standard (the container's part
is below), secrets for the registry, and where the user wants it to run.
*/}}
{{- define "breakwater.podSpec" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $workload := .workload }}
{{- range $field := list "priorityClassName" "nodeSelector" "tolerations" "affinity" }}
{{- with get $workload $field }}
{{ toYaml (dict $field .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "breakwater.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "breakwater.logEnv" -}}
- name: RUST_LOG
  value: {{ .logLevel | quote }}
- name: LOG_FORMAT
  value: {{ .logFormat | quote }}
{{- end }}
