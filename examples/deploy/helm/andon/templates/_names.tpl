{{- /*
Only functions that Go's templates have by themselves are used in this chart, so that whoever has any Go program with templates (kubectl
has them) can render and test it. What is used in several places has its indentation here.
*/}}

{{- define "andon.labels" }}
    app.kubernetes.io/name: andon
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/version: {{ printf "%q" .Chart.AppVersion }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "andon.image" }}{{ .Values.image.repository }}:{{ if .Values.image.tag }}{{ .Values.image.tag }}{{ else }}{{ .Chart.AppVersion }}{{ end }}{{ end }}

{{- define "andon.claim" }}{{ if .Values.store.existingClaim }}{{ .Values.store.existingClaim }}{{ else }}{{ .Release.Name }}-store{{ end }}{{ end }}

{{- /* What every pod says before its containers. */}}
{{- define "andon.pod" }}
      automountServiceAccountToken: false
      {{- if .Values.serviceAccount.name }}
      serviceAccountName: {{ .Values.serviceAccount.name }}
      {{- else if .Values.serviceAccount.annotations }}
      serviceAccountName: {{ .Release.Name }}
      {{- end }}
      # Of a service that is called andon-web Kubernetes would make variables that look like Andon's settings, and Andon does not start
      # where there is one that it does not know.
      enableServiceLinks: false
      # It ends in about five seconds. Whatever takes longer than this is killed, and nothing that was acknowledged is lost.
      terminationGracePeriodSeconds: 40
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      {{- if .Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range .Values.image.pullSecrets }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- if .Values.nodeSelector }}
      nodeSelector:
        {{- range $key, $value := .Values.nodeSelector }}
        {{ printf "%q" $key }}: {{ printf "%q" $value }}
        {{- end }}
      {{- end }}
{{- end }}

{{- /* What every container of Andon says, whatever it does. */}}
{{- define "andon.container" }}
          image: {{ template "andon.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          envFrom:
            - secretRef: {name: {{ .Values.secretName }}}
          env:
            - {name: ANDON_HOST, value: 0.0.0.0}
            - {name: ANDON_HOME, value: /var/lib/andon/home}
            - {name: ANDON_STORE, value: {{ if .Values.store.bucket }}{{ printf "%q" .Values.store.bucket }}{{ else }}/srv/andon/store{{ end }}}
            {{- if .Values.toml }}
            - {name: ANDON_CONFIG, value: /etc/andon/andon.toml}
            {{- end }}
            {{- range $name, $value := .Values.settings }}
            - {name: {{ $name }}, value: {{ printf "%q" $value }}}
            {{- end }}
          volumeMounts:
            - {name: home, mountPath: /var/lib/andon}
            {{- if not .Values.store.bucket }}
            - {name: store, mountPath: /srv/andon}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
            {{- if .Values.toml }}
            - {name: toml, mountPath: /etc/andon, readOnly: true}
            {{- end }}
            {{- range .Values.volumes }}
            - {name: {{ .name }}, mountPath: {{ .mountPath }}}
            {{- end }}
{{- end }}

{{- /*
While the database is gone every replica says at /readyz that it is not ready, and yet takes traffic in and answers levers: so it is
/healthz that decides whether requests are sent. Who shall be woken by /readyz: docs/how-to/watch-andon.md.
*/}}
{{- define "andon.probes" }}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
{{- end }}

{{- define "andon.resources" }}
          resources:
            requests:
              {{- range $key, $value := .requests }}
              {{ $key }}: {{ printf "%v" $value | printf "%q" }}
              {{- end }}
            limits:
              {{- range $key, $value := .limits }}
              {{ $key }}: {{ printf "%v" $value | printf "%q" }}
              {{- end }}
{{- end }}

{{- /* The volumes of a pod but for its home, which may be one that outlives the pod. */}}
{{- define "andon.volumes" }}
      volumes:
        {{- if not .Values.store.bucket }}
        - name: store
          persistentVolumeClaim: {claimName: {{ template "andon.claim" . }}}
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
        {{- if .Values.toml }}
        - name: toml
          configMap: {name: {{ .Release.Name }}-toml}
        {{- end }}
        {{- range .Values.volumes }}
        - name: {{ .name }}
          {{- if .secret }}
          secret: {secretName: {{ .secret }}}
          {{- else if .configMap }}
          configMap: {name: {{ .configMap }}}
          {{- else }}
          persistentVolumeClaim: {claimName: {{ .claim }}}
          {{- end }}
        {{- end }}
{{- end }}

{{- /*
A home that ends with its pod: nothing that is acknowledged is in there, and what its journal holds is made again. Beside a bucket it is
a volume of its own, so that Andon sees how full it is, and lets copies go in time.
*/}}
{{- define "andon.home" }}
        - name: home
          {{- if .Values.store.bucket }}
{{- template "andon.asked" . }}
                    storage: {{ .Values.scratch.size }}
          {{- else }}
          emptyDir: {sizeLimit: {{ .Values.scratch.size }}}
          {{- end }}
{{- end }}

{{- /* The same for a backup and a restore: beside a bucket they copy every file of the tables through it. */}}
{{- define "andon.passage" }}
        - name: home
          {{- if .Values.store.bucket }}
{{- template "andon.asked" . }}
                    storage: {{ .Values.backup.scratch.size }}
          {{- else }}
          emptyDir: {sizeLimit: {{ .Values.scratch.size }}}
          {{- end }}
{{- end }}

{{- /* A volume that is made and ends with its pod, but for its size. */}}
{{- define "andon.asked" }}
          ephemeral:
            volumeClaimTemplate:
              spec:
                accessModes: [ReadWriteOnce]
                {{- if .Values.scratch.storageClassName }}
                storageClassName: {{ .Values.scratch.storageClassName }}
                {{- end }}
                resources:
                  requests:
{{- end }}

{{- /* Pods are replaced when the file changes. */}}
{{- define "andon.annotations" }}
      annotations:
        andon.toml: {{ printf "%q" .Values.toml }}
{{- end }}
