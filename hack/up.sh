#!/usr/bin/env bash
# The last part of `make up`: install the operator through its chart, apply
# one Homeserver, wait for it and say how to use it.
set -euo pipefail
namespace=$1 image=$2
domain=${FOYER_CLUSTER_DOMAIN:-example.com}
here=$(dirname "$0")

helm upgrade --install foyer "$here/../charts/foyer" --namespace "$namespace" --create-namespace \
  --set "image.repository=${image%:*}" --set "image.tag=${image##*:}" --wait --timeout 5m >/dev/null
kubectl create namespace matrix --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl apply -n matrix -f - >/dev/null <<YAML
apiVersion: matrix.foyer.im/v1alpha1
kind: Homeserver
metadata:
  name: campus
spec:
  serverName: $domain
  host: matrix.$domain
  ingress:
    className: ${INGRESS_CLASS:-skipper}
  tls:
    issuerRef:
      name: ${ISSUER:-foyer-ca}
      kind: ClusterIssuer
  admins: [admin]
YAML
kubectl wait -n matrix homeserver/campus --for=condition=Ready --timeout=5m
echo
kubectl get matrix -A
secret=$(kubectl get -n matrix homeserver/campus -o 'jsonpath={.status.adminSecretName}')
cat <<TEXT

Matrix runs at   $(kubectl get -n matrix homeserver/campus -o 'jsonpath={.status.url}')
admin user       @admin:$domain
its password     kubectl get -n matrix secret $secret -o jsonpath='{.data.admin}' | base64 -d
TEXT
if [ -n "${FOYER_CLUSTER_CA:-}" ]; then
  cat <<TEXT
kubectl          eval "\$(bin/cluster env)"; export PATH="\$FOYER_CLUSTER_BIN:\$PATH"
try it           curl --cacert $FOYER_CLUSTER_CA --connect-to matrix.$domain:443:$FOYER_CLUSTER_INGRESS https://matrix.$domain/_matrix/client/versions
TEXT
fi
