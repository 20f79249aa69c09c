// SPDX-License-Identifier: Apache-2.0

package workload

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/foyer-matrix/foyer/internal/naming"
)

func portName(name string) intstr.IntOrString { return intstr.FromString(name) }

// ServicePort exposes the container port of the same name.
func ServicePort(name string, port int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, TargetPort: portName(name), Protocol: corev1.ProtocolTCP}
}

// Service returns a Service for the pods that selector selects.
func Service(meta metav1.ObjectMeta, selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: meta,
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: selector, Ports: ports},
	}
}

// Headless makes service one that resolves to its pods, ready or not: a
// restarting program must be reachable by name before it is ready.
func Headless(service *corev1.Service) *corev1.Service {
	service.Spec.ClusterIP = corev1.ClusterIPNone
	service.Spec.PublishNotReadyAddresses = true
	return service
}

// metadataRanges hold the address at which clouds hand out credentials.
var metadataRanges = map[string][]string{
	"0.0.0.0/0": {"169.254.0.0/16"},
	"::/0":      {"fe80::/10", "fd00:ec2::254/128"},
}

// NetworkPolicy lets anyone reach the public ports of the selected pods, lets
// their own namespace and those labelled for scraping reach the internal
// ports, and lets the pods reach name servers and everything else but the
// link-local addresses of cloud metadata.
func NetworkPolicy(meta metav1.ObjectMeta, selector map[string]string, public, internal []int32) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: meta,
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: selector},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: policyPorts(corev1.ProtocolTCP, public...)},
				{Ports: policyPorts(corev1.ProtocolTCP, internal...), From: []networkingv1.NetworkPolicyPeer{
					{PodSelector: &metav1.LabelSelector{}},
					{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{naming.LabelScrape: "true"}}},
				}},
			},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{Ports: append(policyPorts(corev1.ProtocolUDP, 53), policyPorts(corev1.ProtocolTCP, 53)...)},
				{To: []networkingv1.NetworkPolicyPeer{everywhere("0.0.0.0/0"), everywhere("::/0")}},
			},
		},
	}
}

func everywhere(cidr string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: metadataRanges[cidr]}}
}

func policyPorts(protocol corev1.Protocol, ports ...int32) []networkingv1.NetworkPolicyPort {
	out := make([]networkingv1.NetworkPolicyPort, 0, len(ports))
	for _, port := range ports {
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: ptr.To(protocol), Port: ptr.To(intstr.FromInt32(port))})
	}
	return out
}
