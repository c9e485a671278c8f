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

{{/* Never the namespace's account `default`: every pod there that names no account would have the right to kill. */}}
{{- define "breakwater.serviceAccountName" -}}
{{- $account := .Values.operator.serviceAccount }}
{{- if eq (toString $account.name) "default" }}
{{- fail "operator.serviceAccount.name is default: every pod of the namespace that names no account would have the operator's rights; choose another one" }}
{{- end }}
{{- if not (or $account.create $account.name) }}
{{- fail "operator.serviceAccount.name: it is empty, and operator.serviceAccount.create is false; set the name of an account that is there, or leave create at true" }}
{{- end }}
{{- default (include "breakwater.operatorName" .) $account.name }}
{{- end }}

{{/* A duration as a text that is the greater the longer it is: so long after a moment. */}}
{{- define "breakwater.comparable" -}}
{{- dateInZone "2006-01-02T15:04:05.000000000" (toDate "2006-01-02" "2000-01-01" | dateModify .) "UTC" }}
{{- end }}

{{/* Where the demo lives. An operator that watches other namespaces would never see an experiment on it. */}}
{{- define "breakwater.demoNamespace" -}}
{{- $watched := .Values.operator.watchNamespaces }}
{{- $demo := default (first (append $watched .Release.Namespace)) .Values.demo.namespace }}
{{- if and $watched .Values.demo.enabled (not (has $demo $watched)) }}
{{- fail (printf "demo.namespace is %q, but the operator watches only %s (operator.watchNamespaces): name it there, or set demo.enabled=false" $demo (join ", " $watched)) }}
{{- end }}
{{- $demo }}
{{- end }}

{{/* REGISTRY/REPOSITORY/NAME:TAG[@DIGEST] of one of the three images; takes (dict "root" $ "name" "operator"). */}}
{{- define "breakwater.image" -}}
{{- $image := .root.Values.image }}
{{- printf "%s/%s/%s:%s" $image.registry $image.repository .name (default .root.Chart.AppVersion $image.tag) }}
{{- with get ($image.digests | default dict) .name }}@{{ . }}{{ end }}
{{- end }}

{{/* Namespaces that experiments run in; policies --------------------------------------------------------------------- */}}

{{/* The label by which a namespace opts in; the operator knows it too. */}}
{{- define "breakwater.optInLabel" -}}
chaos.breakwater.dev/experiments
{{- end }}

{{/* Whatever anybody says, nothing is killed here. A list, as CEL and JSON write it. */}}
{{- define "breakwater.neverNamespaces" -}}
['kube-system', 'kube-public', 'kube-node-lease']
{{- end }}

{{/* The name by which the API server knows the operator. */}}
{{- define "breakwater.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "breakwater.serviceAccountName" . }}
{{- end }}

{{/* In CEL: whether a request is the operator's. */}}
{{- define "breakwater.asksAsOperator" -}}
request.userInfo.username == {{ include "breakwater.operatorUser" . | quote }}
{{- end }}

{{/* Policies belong to no namespace, releases do: so the name has both. Takes (dict "root" $ "name" "rights"). */}}
{{- define "breakwater.policyName" -}}
{{ include "breakwater.fullname" .root }}.{{ .root.Release.Namespace }}.{{ .name }}
{{- end }}

{{/*
The part of a binding that says in which namespaces a policy is in force; with "labelled" in those only in which the operator
runs experiments, else wherever an experiment might be written that it will run once the namespace has its label.
*/}}
{{- define "breakwater.servedNamespaces" -}}
{{- $operator := .root.Values.operator }}
{{- if $operator.watchNamespaces }}
matchResources:
  namespaceSelector:
    matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson $operator.watchNamespaces }}}
{{- else if and .labelled $operator.requireLabel }}
matchResources:
  namespaceSelector:
    matchLabels: {{ dict (include "breakwater.optInLabel" .) "allowed" | toJson }}
{{- end }}
{{- end }}

{{/* In CEL: whether the namespace of a request takes part. The operator asks the same, see operator/src/scope.rs. */}}
{{- define "breakwater.servesNamespace" -}}
{{- $operator := .Values.operator }}
{{- $label := printf "namespaceObject.metadata.?labels['%s'].orValue('') == 'allowed'" (include "breakwater.optInLabel" .) }}
{{- $served := $label }}
{{- if $operator.watchNamespaces }}
{{- $served = printf "request.namespace in %s" (toJson $operator.watchNamespaces) }}
{{- else if not $operator.requireLabel }}
{{- $served = printf "(request.namespace != %q || %s)" .Release.Namespace $label }}
{{- end }}
{{- printf "!(request.namespace in %s) && %s" (include "breakwater.neverNamespaces" .) $served }}
{{- end }}

{{/* Whether the cluster can write down who asked for an experiment. */}}
{{- define "breakwater.recordsRequester" -}}
{{- $can := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version }}
{{- and .Values.policies.enabled .Values.policies.recordRequester $can }}
{{- end }}

{{/* Labels; all take (dict "root" $ "component" "operator") -------------------------------------------------------- */}}

{{- define "breakwater.selectorLabels" -}}
app.kubernetes.io/name: {{ include "breakwater.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
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

{{/* What the user adds never replaces ours; takes (dict "labels" TEXT "more" VALUES). */}}
{{- define "breakwater.labelsAnd" -}}
{{- merge (fromYaml .labels) .more | toYaml }}
{{- end }}

{{/* Pods --------------------------------------------------------------------------------------------------------- */}}

{{/* A pod's labels and annotations; takes (dict "labels" TEXT "workload" VALUES). */}}
{{- define "breakwater.podMetadata" -}}
labels:
  {{- include "breakwater.labelsAnd" (dict "labels" .labels "more" .workload.podLabels) | nindent 2 }}
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

{{- define "breakwater.ownEnv" -}}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "breakwater.logEnv" -}}
- name: RUST_LOG
  value: {{ .logLevel | quote }}
- name: LOG_FORMAT
  value: {{ .logFormat | quote }}
{{- end }}
