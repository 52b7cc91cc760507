{{/*
Templates that the three service charts share. Each chart links to this file; a packaged chart holds a copy of its own.
A chart's values give: config (the service's configuration, passed through as it is), ports (name: number), tls, insecure.
*/}}

{{- define "playhead.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "playhead.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "playhead.labels" -}}
{{ include "playhead.selectorLabels" . }}
app.kubernetes.io/part-of: playhead
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/*
The configuration file: values.config, in which templates are resolved, with the listeners and TLS files that the chart decides. A pod's listeners are reached from
outside the pod, so they need TLS or the operator's word that they do not.
*/}}
{{- define "playhead.config" -}}
{{- if not (or .Values.tls.secretName .Values.insecure) -}}
{{- fail (printf "%s: set tls.secretName to a kubernetes.io/tls Secret, or insecure=true to serve without TLS" .Chart.Name) -}}
{{- end -}}
{{- $listen := dict -}}
{{- range $name, $port := .Values.ports -}}
{{- $_ := set $listen $name (printf "0.0.0.0:%d" (int $port)) -}}
{{- end -}}
{{- $own := dict "listen" $listen "insecure" .Values.insecure -}}
{{- if .Values.tls.secretName -}}
{{- $tls := dict "cert_file" "/etc/playhead/tls/tls.crt" "key_file" "/etc/playhead/tls/tls.key" -}}
{{- if .Values.tls.clientCA -}}{{- $_ := set $tls "client_ca_file" "/etc/playhead/tls/ca.crt" -}}{{- end -}}
{{- $_ := set $own "tls" $tls -}}
{{- end -}}
{{ tpl (toYaml (mergeOverwrite (deepCopy .Values.config) $own)) . }}
{{- end -}}

{{- define "playhead.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "playhead.fullname" . }}
  labels: {{- include "playhead.labels" . | nindent 4 }}
data:
  config.yaml: |
    {{- include "playhead.config" . | nindent 4 }}
{{- end -}}

{{- define "playhead.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "playhead.fullname" . }}
  labels: {{- include "playhead.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{- define "playhead.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "playhead.fullname" . }}
  labels: {{- include "playhead.labels" . | nindent 4 }}
spec:
  type: {{ .Values.service.type }}
  selector: {{- include "playhead.selectorLabels" . | nindent 4 }}
  ports:
    {{- range $name, $port := .Values.ports }}
    - name: {{ $name }}
      port: {{ int $port }}
      targetPort: {{ $name }}
    {{- end }}
{{- end -}}

{{- define "playhead.poddisruptionbudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "playhead.fullname" . }}
  labels: {{- include "playhead.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "playhead.selectorLabels" . | nindent 6 }}
{{- end -}}

{{- define "playhead.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "playhead.fullname" . }}
  labels: {{- include "playhead.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {{- include "playhead.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "playhead.labels" . | nindent 8 }}
      annotations:
        # A changed configuration replaces the pods.
        checksum/config: {{ include "playhead.config" . | sha256sum }}
    spec:
      serviceAccountName: {{ include "playhead.fullname" . }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .Chart.Name }}
          image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args: ["-config", "/etc/playhead/config/config.yaml"]
          ports:
            {{- range $name, $port := .Values.ports }}
            - name: {{ $name }}
              containerPort: {{ int $port }}
            {{- end }}
          livenessProbe:
            httpGet: {path: /livez, port: debug}
            periodSeconds: 10
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: debug}
            periodSeconds: 5
          resources: {{- toYaml .Values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - {name: config, mountPath: /etc/playhead/config, readOnly: true}
            {{- if .Values.tls.secretName }}
            - {name: tls, mountPath: /etc/playhead/tls, readOnly: true}
            {{- end }}
            {{- range .Values.secrets }}
            - {name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/etc/playhead/secrets/%s" .name }}, readOnly: true}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: config
          configMap:
            name: {{ include "playhead.fullname" . }}
        {{- if .Values.tls.secretName }}
        - name: tls
          secret:
            secretName: {{ .Values.tls.secretName }}
        {{- end }}
        {{- range .Values.secrets }}
        - name: {{ printf "secret-%s" .name }}
          secret:
            secretName: {{ .secretName }}
        {{- end }}
        - name: tmp
          emptyDir: {}
{{- end -}}

{{- define "playhead.all" -}}
{{ include "playhead.serviceaccount" . }}
---
{{ include "playhead.configmap" . }}
---
{{ include "playhead.service" . }}
---
{{ include "playhead.deployment" . }}
{{- if gt (int .Values.replicas) 1 }}
---
{{ include "playhead.poddisruptionbudget" . }}
{{- end }}
{{- end -}}
