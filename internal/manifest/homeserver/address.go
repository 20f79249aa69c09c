// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"encoding/json"
	"strings"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// URL returns the public address of hs.
func URL(hs *matrixv1alpha1.Homeserver) string { return "https://" + hs.Spec.Host }

// WellKnown returns the bodies of the delegation files of hs.
//
// https://spec.matrix.org/v1.16/client-server-api/#well-known-uri
func WellKnown(hs *matrixv1alpha1.Homeserver) (matrixv1alpha1.WellKnownStatus, error) {
	body, err := json.Marshal(map[string]any{"m.homeserver": map[string]string{"base_url": URL(hs)}})
	if err != nil {
		return matrixv1alpha1.WellKnownStatus{}, err
	}
	status := matrixv1alpha1.WellKnownStatus{Client: string(body)}
	if federates(hs) {
		if body, err = json.Marshal(map[string]string{"m.server": hs.Spec.Host + ":443"}); err != nil {
			return matrixv1alpha1.WellKnownStatus{}, err
		}
		status.Server = string(body)
	}
	return status, nil
}

// ServerHost returns the server name without its port.
func ServerHost(hs *matrixv1alpha1.Homeserver) string {
	name := hs.Spec.ServerName
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, ']') {
		return name[:colon]
	}
	return name
}

// servesWellKnown tells whether the server name is routed here beside host,
// which serves the delegation files anyway.
func servesWellKnown(hs *matrixv1alpha1.Homeserver) bool {
	return hs.Spec.WellKnown != nil && hs.Spec.WellKnown.Enabled && ServerHost(hs) != hs.Spec.Host
}

// TLSSecretName returns the Secret with the certificate of host, "" without TLS.
func TLSSecretName(hs *matrixv1alpha1.Homeserver) string {
	switch {
	case hs.Spec.TLS == nil:
		return ""
	case hs.Spec.TLS.IssuerRef != nil:
		return naming.ForHomeserver(hs).Certificate().Name
	default:
		return hs.Spec.TLS.SecretName
	}
}

// WellKnownTLSSecretName returns the Secret with the certificate of the
// server name, "" when it is not served or without TLS.
func WellKnownTLSSecretName(hs *matrixv1alpha1.Homeserver) string {
	switch {
	case !servesWellKnown(hs):
		return ""
	case hs.Spec.WellKnown.SecretName != "":
		return hs.Spec.WellKnown.SecretName
	case hs.Spec.TLS != nil && hs.Spec.TLS.IssuerRef != nil:
		return naming.ForHomeserver(hs).WellKnownCertificate().Name
	default:
		return TLSSecretName(hs)
	}
}

// certificates ask cert-manager for one certificate for each name, so that
// the host works even when the server name's DNS does not lead here yet.
func certificates(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) []client.Object {
	if hs.Spec.TLS == nil || hs.Spec.TLS.IssuerRef == nil {
		return nil
	}
	objects := []client.Object{certificate(names.Certificate(), hs.Spec.TLS.IssuerRef, hs.Spec.Host)}
	if own := names.WellKnownCertificate(); WellKnownTLSSecretName(hs) == own.Name {
		objects = append(objects, certificate(own, hs.Spec.TLS.IssuerRef, ServerHost(hs)))
	}
	return objects
}

func certificate(meta metav1.ObjectMeta, issuer *matrixv1alpha1.IssuerReference, host string) *cmv1.Certificate {
	return &cmv1.Certificate{
		TypeMeta:   metav1.TypeMeta{APIVersion: cmv1.SchemeGroupVersion.String(), Kind: cmv1.CertificateKind},
		ObjectMeta: meta,
		Spec: cmv1.CertificateSpec{
			SecretName: meta.Name,
			DNSNames:   []string{host},
			IssuerRef:  cmmeta.IssuerReference{Name: issuer.Name, Kind: string(issuer.Kind), Group: issuer.Group},
			Usages:     []cmv1.KeyUsage{cmv1.UsageDigitalSignature, cmv1.UsageServerAuth},
			PrivateKey: &cmv1.CertificatePrivateKey{
				Algorithm: cmv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: cmv1.RotationPolicyAlways,
			},
		},
	}
}

// route sends a path prefix to a port of a Service.
type route struct {
	path    string
	service string
	port    string
}

// ingresses route host, and the server name when asked. Only the paths of the
// Matrix APIs are public: everything else of the server stays inside.
func ingresses(hs *matrixv1alpha1.Homeserver, names naming.Homeserver) []client.Object {
	if !ptr.Deref(hs.Spec.Ingress.Enabled, true) {
		return nil
	}
	clients := names.ClientService().Name
	routes := []route{
		{"/_matrix", clients, naming.PortNameClient},
		{"/.well-known/matrix", clients, naming.PortNameClient},
	}
	if federates(hs) {
		servers := names.FederationService().Name
		routes = append(routes,
			route{"/_matrix/federation", servers, naming.PortNameFederation},
			route{"/_matrix/key", servers, naming.PortNameFederation})
	}
	objects := []client.Object{ingress(hs, names.Ingress(), host{hs.Spec.Host, TLSSecretName(hs), routes})}
	if servesWellKnown(hs) {
		objects = append(objects, ingress(hs, names.WellKnownIngress(),
			host{ServerHost(hs), WellKnownTLSSecretName(hs), routes[1:2]}))
	}
	return objects
}

// host is one public name, its certificate ("" for none) and its routes.
type host struct {
	name   string
	secret string
	routes []route
}

func ingress(hs *matrixv1alpha1.Homeserver, meta metav1.ObjectMeta, h host) *networkingv1.Ingress {
	paths := make([]networkingv1.HTTPIngressPath, 0, len(h.routes))
	for _, r := range h.routes {
		paths = append(paths, networkingv1.HTTPIngressPath{
			Path: r.path, PathType: ptr.To(networkingv1.PathTypePrefix),
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: r.service, Port: networkingv1.ServiceBackendPort{Name: r.port},
			}},
		})
	}
	if len(hs.Spec.Ingress.Annotations) > 0 {
		meta.Annotations = make(map[string]string, len(hs.Spec.Ingress.Annotations))
		for key, value := range hs.Spec.Ingress.Annotations {
			meta.Annotations[key] = string(value)
		}
	}
	object := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: meta,
		Spec: networkingv1.IngressSpec{
			IngressClassName: hs.Spec.Ingress.ClassName,
			Rules: []networkingv1.IngressRule{{
				Host:             h.name,
				IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: paths}},
			}},
		},
	}
	if h.secret != "" {
		object.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{h.name}, SecretName: h.secret}}
	}
	return object
}
