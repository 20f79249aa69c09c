// SPDX-License-Identifier: Apache-2.0

package layout

import "net/netip"

// The node lives in a network namespace of its own, so its ports, links and
// packet filter rules can never meet those of the machine or of another
// cluster. A pair of links joins the two; only these ranges, taken from a part
// of 10.0.0.0/8 that other tools do not use by default, are routed to it.
const (
	// NetworkNamespace is the name below /run/netns.
	NetworkNamespace = "foyer-cluster"
	// HostLink is the machine's end of the pair of links.
	HostLink = "foyer-host"
	// NodeLink is the node's end of the pair of links.
	NodeLink = "eth0"
	// PodBridge joins the pods' links, inside the node's namespace.
	PodBridge = "pods"
	// CNINetwork is the pods' network, by its name in records of CNI.
	CNINetwork = "foyer-cluster"
	// Cgroup is the parent of every pod's control group.
	Cgroup = "foyer-cluster"

	// NodeName is the name of the only node.
	NodeName = "foyer"
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain = "cluster.local"
	// IngressDomain has every host name that the ingress serves: browsers
	// and curl resolve names below localhost to the loopback address by
	// themselves, and nobody can register one.
	IngressDomain = "foyer.localhost"
)

// The addresses. All but HostAddress are the node's.
var (
	HostAddress  = netip.MustParseAddr("10.213.0.1")
	NodeAddress  = netip.MustParseAddr("10.213.0.2")
	NodeRange    = netip.MustParsePrefix("10.213.0.0/24")
	ServiceRange = netip.MustParsePrefix("10.213.64.0/18")
	PodRange     = netip.MustParsePrefix("10.213.128.0/17")
	// APIAddress is the Service kubernetes: the first of the range.
	APIAddress = netip.MustParseAddr("10.213.64.1")
	// DNSAddress is the Service kube-dns.
	DNSAddress = netip.MustParseAddr("10.213.64.10")
)

// The node's ports. They are the programs' usual ones: the namespace is ours.
const (
	APIPort               = 6443
	EtcdPort              = 2379
	EtcdPeerPort          = 2380
	EtcdMetricsPort       = 2381
	KubeletPort           = 10250
	KubeletHealthPort     = 10248
	ControllerManagerPort = 10257
	SchedulerPort         = 10259
	ProxyHealthPort       = 10256
	ProxyMetricsPort      = 10249
	DNSPort               = 53
	DNSHealthPort         = 8085
	DNSReadyPort          = 8181
	IngressHTTPSPort      = 443
	IngressHTTPPort       = 80
	IngressHTTPSSupport   = 9911
	IngressHTTPSupport    = 9912
	CertManagerPort       = 9403
	// FederationPort is where other Matrix servers look without delegation;
	// the node redirects it to IngressHTTPSPort.
	FederationPort = 8448
)

// DefaultHTTPS and DefaultHTTP are where the ingress answers on the machine.
const (
	DefaultHTTPS = "127.0.0.1:8443"
	DefaultHTTP  = "127.0.0.1:8080"
)

// NodePort is a port on the node's address.
func NodePort(port uint16) string { return netip.AddrPortFrom(NodeAddress, port).String() }
