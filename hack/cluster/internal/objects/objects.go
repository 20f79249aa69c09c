// SPDX-License-Identifier: Apache-2.0

// Package objects has what the cluster is given before anybody uses it:
// permissions of the daemons, DNS, storage classes, the ingress class, issuers.
package objects

import (
	"encoding/base64"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/config"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

// Object is a Kubernetes object.
type Object = map[string]any

const (
	// CertManagerNamespace has the Secrets that ClusterIssuers name.
	CertManagerNamespace = "cert-manager"
	// SelfSignedIssuer signs each certificate with its own key.
	SelfSignedIssuer = "foyer-selfsigned"
	// CAIssuer signs with the authority that clients of the ingress trust.
	CAIssuer = "foyer-ca"
	// IngressClass is the ingress controller's.
	IngressClass = "skipper"
	// StorageClass is the default one.
	StorageClass = "local-path"
	// RetainStorageClass keeps the volume of a deleted claim.
	RetainStorageClass = "local-path-retain"

	manager = "foyer-cluster"
)

func named(apiVersion, kind, namespace, name string) Object {
	metadata := Object{"name": name, "labels": Object{"app.kubernetes.io/managed-by": manager}}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	return Object{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
}

// with adds fields to an object.
func with(object Object, fields Object) Object {
	for name, value := range fields {
		object[name] = value
	}
	return object
}

func annotate(object Object, name, value string) Object {
	object["metadata"].(Object)["annotations"] = Object{name: value}
	return object
}

// All is every object but those of kinds that the cluster learns from All.
func All(authority *pki.AuthorityFiles) []Object {
	all := []Object{
		named("v1", "Namespace", "", CertManagerNamespace),
		named("v1", "Namespace", "", config.StorageNamespace),
		with(named("v1", "Secret", CertManagerNamespace, CAIssuer), Object{
			"type": "kubernetes.io/tls",
			"data": Object{
				"tls.crt": base64.StdEncoding.EncodeToString(authority.Certificate),
				"tls.key": base64.StdEncoding.EncodeToString(authority.Key),
			},
		}),
		annotate(with(named("networking.k8s.io/v1", "IngressClass", "", IngressClass), Object{
			"spec": Object{"controller": "zalando.org/skipper"},
		}), "ingressclass.kubernetes.io/is-default-class", "true"),
	}
	all = append(all, permissions()...)
	all = append(all, dns()...)
	return append(all, storage()...)
}

// Issuers are of kinds that must be known before they are applied.
func Issuers() []Object {
	return []Object{
		with(named("cert-manager.io/v1", "ClusterIssuer", "", SelfSignedIssuer), Object{
			"spec": Object{"selfSigned": Object{}},
		}),
		with(named("cert-manager.io/v1", "ClusterIssuer", "", CAIssuer), Object{
			"spec": Object{"ca": Object{"secretName": CAIssuer}},
		}),
	}
}

// dns is the Service that pods ask; CoreDNS itself runs on the node.
func dns() []Object {
	ports := []Object{
		{"name": "dns", "port": layout.DNSPort, "protocol": "UDP"},
		{"name": "dns-tcp", "port": layout.DNSPort, "protocol": "TCP"},
	}
	slice := with(named("discovery.k8s.io/v1", "EndpointSlice", "kube-system", "kube-dns-node"), Object{
		"addressType": "IPv4",
		"ports":       ports,
		"endpoints":   []Object{{"addresses": []string{layout.NodeAddress.String()}, "conditions": Object{"ready": true}}},
	})
	slice["metadata"].(Object)["labels"] = Object{
		"kubernetes.io/service-name":             "kube-dns",
		"endpointslice.kubernetes.io/managed-by": manager,
	}
	return []Object{
		with(named("v1", "Service", "kube-system", "kube-dns"), Object{
			"spec": Object{"clusterIP": layout.DNSAddress.String(), "ports": ports},
		}),
		slice,
	}
}

// storage has two classes, whose volumes are made when a pod first uses them.
func storage() []Object {
	class := func(name, reclaim string) Object {
		// Volumes of type local get the pod's fsGroup, as real disks do.
		return annotate(with(named("storage.k8s.io/v1", "StorageClass", "", name), Object{
			"provisioner":       "rancher.io/local-path",
			"reclaimPolicy":     reclaim,
			"volumeBindingMode": "WaitForFirstConsumer",
		}), "defaultVolumeType", "local")
	}
	standard := class(StorageClass, "Delete")
	standard["metadata"].(Object)["annotations"].(Object)["storageclass.kubernetes.io/is-default-class"] = "true"
	return []Object{
		standard,
		class(RetainStorageClass, "Retain"),
		named("v1", "ServiceAccount", config.StorageNamespace, config.StorageServiceAccount),
		with(named("v1", "ConfigMap", config.StorageNamespace, config.StorageConfigMap), Object{
			"data": Object{"setup": config.SetupScript, "teardown": config.TeardownScript},
		}),
	}
}
